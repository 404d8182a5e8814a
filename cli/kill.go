package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) killCommand() *cobra.Command {
	var only bool
	cmd := &cobra.Command{
		Use:   "kill NAME",
		Short: "End an app, or one task",
		Long: `End the app of that name with all its tasks, or else the task.

A task of the orchestrator is replaced unless its app is killed; --task makes sure that
NAME is taken for a task. A task of agora run in the foreground ends together with it.
A task of another framework is that framework's: agora names it and does nothing.`,
		Example:           "  agora kill web\n  agora kill --task web.3f2c",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if !only {
				err := a.killApp(ctx, args[0])
				if !errors.Is(err, errNoApp) {
					return err
				}
			}
			return a.killTask(ctx, args[0])
		},
	}
	cmd.Flags().BoolVar(&only, "task", false, "NAME is a task, not an app")
	return cmd
}

func (a *App) killTask(ctx context.Context, name string) error {
	v, err := a.look(ctx)
	if err != nil {
		return err
	}
	t, err := v.task(name)
	if err != nil {
		return err
	}
	id := t.GetTaskId().GetValue()
	if t.Completed {
		return exitf(ExitFailure, "task %s has ended already: %s", id, t.GetState())
	}
	switch t.Framework.GetName() {
	case orchestratorName:
		if err := a.killInstance(ctx, id); err != nil {
			return err
		}
	case foregroundName:
		call := &masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(),
			Teardown: &masterpb.Call_Teardown{FrameworkId: t.GetFrameworkId()}}
		if _, err := a.operator(a.masterAddr()).Master(ctx, call); err != nil {
			return fmt.Errorf("kill task %s: %w", id, err)
		}
	default:
		return exitf(ExitFailure, "task %s belongs to framework %q (%s); ask that framework to kill it",
			id, t.Framework.GetName(), t.GetFrameworkId().GetValue())
	}
	fmt.Fprintln(a.Out, id)
	return nil
}
