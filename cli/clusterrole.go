package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) clusterRoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "role",
		Aliases: []string{"roles"},
		Short:   "The roles that frameworks share the cluster by",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(a.clusterRoleList(), a.clusterRoleShow())
	return cmd
}

// clusterRole is a role as /roles shows it; amounts include those of the roles below it.
type clusterRole struct {
	Name       string             `json:"name"`
	Weight     float64            `json:"weight"`
	Quota      roleQuota          `json:"quota"`
	Resources  map[string]float64 `json:"resources"`
	Allocated  map[string]float64 `json:"allocated"`
	Offered    map[string]float64 `json:"offered"`
	Reserved   map[string]float64 `json:"reserved"`
	Frameworks []string           `json:"frameworks"`
}

type roleQuota struct {
	Role      string             `json:"role"`
	Guarantee map[string]float64 `json:"guarantee"`
	Limit     map[string]float64 `json:"limit"`
	Consumed  map[string]float64 `json:"consumed"`
}

// clusterRoles asks the master for its roles.
func (a *App) clusterRoles(ctx context.Context) ([]clusterRole, error) {
	body, err := a.operator(a.masterAddr()).Get(ctx, "/roles")
	if err != nil {
		return nil, fmt.Errorf("master %s: %w", a.masterAddr(), err)
	}
	answer := struct {
		Roles []clusterRole `json:"roles"`
	}{Roles: []clusterRole{}}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("roles of master %s: %w", a.masterAddr(), err)
	}
	return answer.Roles, nil
}

func (a *App) clusterRoleList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List roles with their weights, frameworks and what they have",
		Example: "  agora role ls -o wide",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roles, err := a.clusterRoles(cmd.Context())
			if err != nil {
				return err
			}
			t := table{Columns: []string{"ROLE", "WEIGHT", "FRAMEWORKS", "ALLOCATED", "OFFERED", "RESERVED", "GUARANTEE", "LIMIT"}, Wide: 2, Value: roles}
			for _, r := range roles {
				t.Rows = append(t.Rows, []string{r.Name, trim(r.Weight), strconv.Itoa(len(r.Frameworks)), amountList(r.Allocated), amountList(r.Offered),
					amountList(r.Reserved), amountList(r.Quota.Guarantee), amountList(r.Quota.Limit)})
			}
			return a.print(t)
		},
	}
	a.addOutput(cmd)
	return cmd
}

func (a *App) clusterRoleShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "show ROLE",
		Short:             "Show one role",
		Example:           "  agora role show web -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRole,
		RunE: func(cmd *cobra.Command, args []string) error {
			roles, err := a.clusterRoles(cmd.Context())
			if err != nil {
				return err
			}
			at := slices.IndexFunc(roles, func(r clusterRole) bool { return r.Name == args[0] })
			if at < 0 {
				return notFoundf("no role %q; agora role ls lists them", args[0])
			}
			r := roles[at]
			return a.print(table{Columns: []string{"ROLE", r.Name}, Value: r, Rows: [][]string{
				{"weight", trim(r.Weight)},
				{"frameworks", strings.Join(r.Frameworks, ", ")},
				{"allocated", amountList(r.Allocated)},
				{"offered", amountList(r.Offered)},
				{"reserved", amountList(r.Reserved)},
				{"guarantee", amountList(r.Quota.Guarantee)},
				{"limit", amountList(r.Quota.Limit)},
				{"consumed", amountList(r.Quota.Consumed)},
			}})
		},
	}
	a.addOutput(cmd)
	return cmd
}

// amountList prints amounts for people.
func amountList(amounts map[string]float64) string {
	if len(amounts) == 0 {
		return "-"
	}
	parts := make([]string, 0, len(amounts))
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		parts = append(parts, name+":"+trim(amounts[name]))
	}
	return strings.Join(parts, " ")
}

// completeRole completes the names of roles that the master knows.
func (a *App) completeRole(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	roles, err := a.clusterRoles(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, r := range roles {
		if strings.HasPrefix(r.Name, prefix) {
			names = append(names, r.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
