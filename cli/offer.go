package cli

import (
	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) offerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "offer",
		Aliases: []string{"offers"},
		Short:   "What frameworks are offered",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	ls := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the offers that no framework has answered yet",
		Example: "  agora offer ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := a.callMaster(cmd.Context(), masterpb.Call_GET_FRAMEWORKS)
			if err != nil {
				return err
			}
			return a.print(offerTable(response.GetGetFrameworks()))
		},
	}
	a.addOutput(ls)
	cmd.AddCommand(ls)
	return cmd
}

// offerRow is an offer as scripts see it.
type offerRow struct {
	ID          string             `json:"id"`
	Framework   string             `json:"framework"`
	FrameworkID string             `json:"framework_id"`
	Role        string             `json:"role"`
	Node        string             `json:"node"`
	AgentID     string             `json:"agent_id"`
	Resources   map[string]float64 `json:"resources"`
}

func offerTable(frameworks *masterpb.Response_GetFrameworks) table {
	t := table{Columns: []string{"OFFER", "FRAMEWORK", "ROLE", "NODE", "CPUS", "MEM MiB", "DISK MiB", "AGENT"}, Wide: 1}
	values := []offerRow{}
	for _, f := range frameworks.GetFrameworks() {
		for _, offer := range f.GetOffers() {
			row := newOfferRow(f.GetFrameworkInfo(), offer)
			values = append(values, row)
			t.Rows = append(t.Rows, []string{row.ID, row.Framework, row.Role, row.Node, trim(row.Resources["cpus"]),
				trim(row.Resources["mem"]), trim(row.Resources["disk"]), row.AgentID})
		}
	}
	t.Value = values
	return t
}

func newOfferRow(info *mesos.FrameworkInfo, offer *mesos.Offer) offerRow {
	return offerRow{ID: offer.GetId().GetValue(), Framework: info.GetName(), FrameworkID: info.GetId().GetValue(),
		Role: offer.GetAllocationInfo().GetRole(), Node: offer.GetHostname(), AgentID: offer.GetAgentId().GetValue(),
		Resources: sum(offer.GetResources())}
}
