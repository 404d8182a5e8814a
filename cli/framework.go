package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) frameworkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "framework",
		Aliases: []string{"frameworks"},
		Short:   "The programs that launch tasks",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	var all bool
	ls := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List frameworks",
		Example: "  agora framework ls\n  agora framework ls -a -o wide",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := a.callMaster(cmd.Context(), masterpb.Call_GET_STATE)
			if err != nil {
				return err
			}
			return a.print(frameworkTable(response.GetGetState(), all))
		},
	}
	ls.Flags().BoolVarP(&all, "all", "a", false, "also frameworks that have ended")
	a.addOutput(ls)
	teardown := &cobra.Command{
		Use:               "teardown FRAMEWORK",
		Short:             "End a framework and all its tasks",
		Example:           "  agora framework teardown 3f2a",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeFrameworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.teardownFramework(cmd.Context(), args[0])
		},
	}
	cmd.AddCommand(ls, a.frameworkOffers(), teardown)
	return cmd
}

// frameworkRow is a framework as scripts see it.
type frameworkRow struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Roles     []string `json:"roles"`
	User      string   `json:"user"`
	Principal string   `json:"principal,omitempty"`
	Tasks     int      `json:"tasks"`
	Offers    int      `json:"offers"`
}

func frameworkTable(state *masterpb.Response_GetState, all bool) table {
	t := table{Columns: []string{"FRAMEWORK", "STATE", "ROLES", "TASKS", "OFFERS", "ID", "USER", "PRINCIPAL"}, Wide: 2}
	tasks := map[string]int{}
	for _, task := range state.GetGetTasks().GetTasks() {
		tasks[task.GetFrameworkId().GetValue()]++
	}
	values := []frameworkRow{}
	add := func(f *masterpb.Response_GetFrameworks_Framework, state string) {
		info := f.GetFrameworkInfo()
		row := frameworkRow{ID: info.GetId().GetValue(), Name: info.GetName(), State: state, Roles: rolesOf(info),
			User: info.GetUser(), Principal: info.GetPrincipal(), Tasks: tasks[info.GetId().GetValue()], Offers: len(f.GetOffers())}
		values = append(values, row)
		t.Rows = append(t.Rows, []string{row.Name, row.State, strings.Join(row.Roles, ","), fmt.Sprint(row.Tasks), fmt.Sprint(row.Offers),
			row.ID, row.User, row.Principal})
	}
	for _, f := range state.GetGetFrameworks().GetFrameworks() {
		add(f, stateOf(f))
	}
	if all {
		for _, f := range state.GetGetFrameworks().GetCompletedFrameworks() {
			add(f, "completed")
		}
	}
	t.Value = values
	return t
}

func rolesOf(info *mesos.FrameworkInfo) []string {
	if len(info.GetRoles()) > 0 {
		return info.GetRoles()
	}
	return []string{info.GetRole()}
}

func stateOf(f *masterpb.Response_GetFrameworks_Framework) string {
	switch {
	case f.GetRecovered():
		return "recovered"
	case !f.GetConnected():
		return "disconnected"
	case !f.GetActive():
		return "inactive"
	}
	return "active"
}

// findFramework is the one framework that name means: its name, its ID, or a unique prefix of that.
func (a *App) findFramework(ctx context.Context, name string) (*mesos.FrameworkInfo, error) {
	response, err := a.callMaster(ctx, masterpb.Call_GET_FRAMEWORKS)
	if err != nil {
		return nil, err
	}
	var found []*mesos.FrameworkInfo
	var names []string
	for _, f := range response.GetGetFrameworks().GetFrameworks() {
		info := f.GetFrameworkInfo()
		if info.GetId().GetValue() == name {
			return info, nil
		}
		if info.GetName() == name || strings.HasPrefix(info.GetId().GetValue(), name) {
			found, names = append(found, info), append(names, info.GetId().GetValue())
		}
	}
	switch len(found) {
	case 0:
		return nil, notFoundf("no framework %q; agora framework ls lists them", name)
	case 1:
		return found[0], nil
	}
	return nil, usagef("%q means %d frameworks: %s; name one of them", name, len(found), strings.Join(names, ", "))
}

func (a *App) teardownFramework(ctx context.Context, name string) error {
	info, err := a.findFramework(ctx, name)
	if err != nil {
		return err
	}
	_, err = a.operator(a.masterAddr()).Master(ctx, &masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(),
		Teardown: &masterpb.Call_Teardown{FrameworkId: info.GetId()}})
	if err == nil {
		fmt.Fprintln(a.Out, info.GetId().GetValue())
	}
	return err
}

func (a *App) completeFrameworks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	response, err := a.callMaster(cmd.Context(), masterpb.Call_GET_FRAMEWORKS)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, f := range response.GetGetFrameworks().GetFrameworks() {
		info := f.GetFrameworkInfo()
		names = append(names, info.GetId().GetValue()+"\t"+info.GetName())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
