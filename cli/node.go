package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	masterpb "agora.dev/agora/api/mesos/v1/master"

	mesos "agora.dev/agora/api/mesos/v1"
)

func (a *App) nodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "node",
		Aliases: []string{"nodes"},
		Short:   "The machines of the cluster",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	ls := &cobra.Command{
		Use:     "ls [NODE]",
		Aliases: []string{"list"},
		Short:   "List agents with what they have and what is used",
		Example: "  agora node ls -o wide",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := a.look(cmd.Context())
			if err != nil {
				return err
			}
			t, err := nodeTable(v, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return a.print(t)
		},
	}
	a.addOutput(ls)
	cmd.AddCommand(ls, a.drainCommand(), a.undrainCommand(), a.deactivateCommand(), a.reactivateCommand(), a.goneCommand())
	return cmd
}

// needVerb refuses a noun without a verb, naming the verbs.
func needVerb(cmd *cobra.Command, _ []string) error {
	var verbs []string
	for _, child := range cmd.Commands() {
		verbs = append(verbs, child.Name())
	}
	return usagef("%s needs one of: %s", cmd.CommandPath(), strings.Join(verbs, ", "))
}

// node is an agent as scripts see it.
type node struct {
	ID         string             `json:"id"`
	Hostname   string             `json:"hostname"`
	Address    string             `json:"address"`
	State      string             `json:"state"`
	Version    string             `json:"version"`
	Attributes map[string]string  `json:"attributes,omitempty"`
	Total      map[string]float64 `json:"total"`
	Used       map[string]float64 `json:"used"`
	Tasks      int                `json:"tasks"`
	Drain      *nodeDrain         `json:"drain,omitempty"`
}

func nodeTable(v *view, filter string) (table, error) {
	t := table{Columns: []string{"NODE", "STATE", "TASKS", "CPUS", "MEM MiB", "DISK MiB", "ID", "ADDRESS", "VERSION", "ATTRIBUTES"}, Wide: 4}
	tasks := map[string]int{}
	for _, task := range v.Tasks {
		if !task.Completed {
			tasks[task.GetAgentId().GetValue()]++
		}
	}
	values := []node{}
	for _, agent := range v.Agents {
		n := describeNode(agent, tasks)
		if filter != "" && !strings.HasPrefix(n.ID, filter) && !strings.HasPrefix(n.Hostname, filter) {
			continue
		}
		values = append(values, n)
		share := func(name string) string { return trim(n.Used[name]) + "/" + trim(n.Total[name]) }
		var attributes []string
		for _, attribute := range agent.GetAgentInfo().GetAttributes() {
			attributes = append(attributes, attribute.GetName()+":"+n.Attributes[attribute.GetName()])
		}
		t.Rows = append(t.Rows, []string{n.Hostname, n.State, fmt.Sprint(n.Tasks), share("cpus"), share("mem"), share("disk"),
			n.ID, n.Address, n.Version, strings.Join(attributes, ";")})
	}
	if filter != "" && len(values) == 0 {
		return t, notFoundf("no node %q; agora node ls lists them", filter)
	}
	t.Value = values
	return t, nil
}

func describeNode(agent *masterpb.Response_GetAgents_Agent, tasks map[string]int) node {
	info := agent.GetAgentInfo()
	address, _ := agentAddr(agent)
	n := node{ID: info.GetId().GetValue(), Hostname: info.GetHostname(), Address: address, Version: agent.GetVersion(),
		State: "active", Attributes: map[string]string{}, Tasks: tasks[info.GetId().GetValue()],
		Total: sum(agent.GetTotalResources()), Used: sum(agent.GetAllocatedResources())}
	if !agent.GetActive() {
		n.State = "inactive"
	}
	if agent.GetDeactivated() {
		n.State = "deactivated"
	}
	if drain := agent.GetDrainInfo(); drain != nil {
		n.State = strings.ToLower(drain.GetState().String())
		n.Drain = describeDrain(agent)
	}
	for _, attribute := range info.GetAttributes() {
		n.Attributes[attribute.GetName()] = attributeText(attribute)
	}
	return n
}

func attributeText(a *mesos.Attribute) string {
	switch a.GetType() {
	case mesos.Value_SCALAR:
		return trim(a.GetScalar().GetValue())
	case mesos.Value_RANGES:
		return "[" + joinRanges("", a.GetRanges()) + "]"
	case mesos.Value_SET:
		return "{" + strings.Join(a.GetSet().GetItem(), ",") + "}"
	}
	return a.GetText().GetValue()
}

func sum(resources []*mesos.Resource) map[string]float64 {
	total := map[string]float64{}
	for _, resource := range resources {
		if resource.GetType() == mesos.Value_SCALAR {
			total[resource.GetName()] += resource.GetScalar().GetValue()
		}
	}
	return total
}
