package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) weightCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weight",
		Short: "How roles share what is free",
		Args:  cobra.NoArgs,
		RunE:  needVerb,
	}
	cmd.AddCommand(a.weightList(), a.weightSet())
	return cmd
}

// roleWeight is a weight as scripts see it.
type roleWeight struct {
	Role   string  `json:"role"`
	Weight float64 `json:"weight"`
}

func (a *App) weightList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the weights that were set; roles without one have 1",
		Example: "  agora weight ls",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := a.callMaster(cmd.Context(), masterpb.Call_GET_WEIGHTS)
			if err != nil {
				return err
			}
			t, weights := table{Columns: []string{"ROLE", "WEIGHT"}}, []roleWeight{}
			for _, info := range response.GetGetWeights().GetWeightInfos() {
				weights = append(weights, roleWeight{info.GetRole(), info.GetWeight()})
				t.Rows = append(t.Rows, []string{info.GetRole(), trim(info.GetWeight())})
			}
			t.Value = weights
			return a.print(t)
		},
	}
	a.addOutput(cmd)
	return cmd
}

func (a *App) weightSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set ROLE=WEIGHT...",
		Short: "Set weights: a role of weight 2 gets twice what its sibling of weight 1 gets",
		Long: `Set weights of roles: among the children of one role, a child of weight 2 gets twice what a child of weight 1 gets. Where a role with
frameworks is named, all offers are taken back and made anew; tasks go on.`,
		Example:           "  agora weight set web=2 batch=0.5",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeRole,
		RunE: func(cmd *cobra.Command, args []string) error {
			call := &masterpb.Call_UpdateWeights{}
			for _, arg := range args {
				role, text, _ := strings.Cut(arg, "=")
				weight, err := strconv.ParseFloat(text, 64)
				if err != nil || role == "" {
					return usagef("%q is not ROLE=WEIGHT, as web=2", arg)
				}
				call.WeightInfos = append(call.WeightInfos, &mesos.WeightInfo{Role: &role, Weight: &weight})
			}
			return a.tell(cmd.Context(), &masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: call})
		},
	}
}
