package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/quota"
)

func (a *App) quotaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quota",
		Short: "What roles are promised and may have at most",
		Args:  cobra.NoArgs,
		RunE:  needVerb,
	}
	cmd.AddCommand(a.quotaList(), a.quotaSet(), a.quotaRemove())
	return cmd
}

func (a *App) quotaList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List quotas with what roles consume",
		Example: "  agora quota ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roles, err := a.clusterRoles(cmd.Context())
			if err != nil {
				return err
			}
			t := table{Columns: []string{"ROLE", "RESOURCE", "GUARANTEE", "LIMIT", "CONSUMED"}}
			quotas := []roleQuota{}
			for _, r := range roles {
				q := r.Quota
				if len(q.Guarantee)+len(q.Limit) == 0 {
					continue
				}
				quotas = append(quotas, q)
				names := maps.Clone(q.Limit)
				maps.Copy(names, q.Guarantee)
				for _, name := range slices.Sorted(maps.Keys(names)) {
					t.Rows = append(t.Rows, []string{q.Role, name, amountOr(q.Guarantee, name, "-"), amountOr(q.Limit, name, "none"), amountOr(q.Consumed, name, "0")})
				}
			}
			t.Value = quotas
			return a.print(t)
		},
	}
	a.addOutput(cmd)
	return cmd
}

func amountOr(amounts map[string]float64, name, otherwise string) string {
	if amount, ok := amounts[name]; ok {
		return trim(amount)
	}
	return otherwise
}

func (a *App) quotaSet() *cobra.Command {
	var guarantee, limit []string
	var force bool
	cmd := &cobra.Command{
		Use:   "set ROLE",
		Short: "Replace the quota of a role",
		Long: `Replace the quota of a role: --guarantee is kept free for it, --limit is what it may have at most. Roles below it are part of it.
Offers that are against the new quota are taken back; tasks go on. Memory and disk are in MiB.`,
		Example:           "  agora quota set web --limit cpus=8,mem=16384 --guarantee cpus=2",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRole,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(guarantee)+len(limit) == 0 {
				return usagef("give --limit or --guarantee, as cpus=8,mem=16384; agora quota rm %s takes a quota away", args[0])
			}
			config := &quota.QuotaConfig{Role: &args[0]}
			var err error
			if config.Guarantees, err = parseAmounts("guarantee", guarantee); err != nil {
				return err
			}
			if config.Limits, err = parseAmounts("limit", limit); err != nil {
				return err
			}
			return a.tell(cmd.Context(), &masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(),
				UpdateQuota: &masterpb.Call_UpdateQuota{QuotaConfigs: []*quota.QuotaConfig{config}, Force: &force}})
		},
	}
	cmd.Flags().StringSliceVar(&guarantee, "guarantee", nil, "resources kept for the role, NAME=AMOUNT,...")
	cmd.Flags().StringSliceVar(&limit, "limit", nil, "most that the role may have, NAME=AMOUNT,...")
	cmd.Flags().BoolVar(&force, "force", false, "even if it is less than what is consumed, or more than the cluster has")
	return cmd
}

// parseAmounts reads NAME=AMOUNT pairs.
func parseAmounts(flag string, pairs []string) (map[string]*mesos.Value_Scalar, error) {
	amounts := map[string]*mesos.Value_Scalar{}
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		amount, err := strconv.ParseFloat(text, 64)
		if err != nil || name == "" {
			return nil, usagef("--%s: %q is not NAME=AMOUNT, as cpus=8", flag, pair)
		}
		amounts[name] = &mesos.Value_Scalar{Value: &amount}
	}
	return amounts, nil
}

func (a *App) quotaRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "rm ROLE",
		Aliases:           []string{"remove"},
		Short:             "Take the quota of a role away",
		Example:           "  agora quota rm web",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRole,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tell(cmd.Context(), &masterpb.Call{Type: masterpb.Call_REMOVE_QUOTA.Enum(),
				RemoveQuota: &masterpb.Call_RemoveQuota{Role: &args[0]}})
		},
	}
}

// tell sends the master a call that has no answer but success.
func (a *App) tell(ctx context.Context, call *masterpb.Call) error {
	if _, err := a.operator(a.masterAddr()).Master(ctx, call); err != nil {
		return fmt.Errorf("master %s: %w", a.masterAddr(), err)
	}
	return nil
}
