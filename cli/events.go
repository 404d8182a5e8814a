package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agora.dev/agora/api/codec"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) eventsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what happens in the cluster as it happens",
		Long: `Follow the event stream of the leading master until Ctrl-C. With -o json, each line is one event of the
operator API, the first one the whole state.`,
		Example: "  agora events\n  agora events -o json | jq .type",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.followEvents(cmd.Context(), all)
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("the master ended the stream; call agora events again")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "heartbeats", false, "also heartbeats")
	a.addOutput(cmd)
	return cmd
}

func (a *App) followEvents(ctx context.Context, heartbeats bool) error {
	stream, err := a.operator(a.masterAddr()).Subscribe(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if err != nil {
			return err
		}
		if event.GetType() == masterpb.Event_HEARTBEAT && !heartbeats {
			continue
		}
		line := time.Now().Format(time.TimeOnly) + "  " + describeEvent(event)
		if a.output == "json" {
			text, err := codec.Marshal(codec.JSON, event)
			if err != nil {
				return err
			}
			line = string(text)
		}
		if _, err := fmt.Fprintln(a.Out, line); err != nil {
			return err
		}
	}
}

// describeEvent is one line for people.
func describeEvent(event *masterpb.Event) string {
	switch event.GetType() {
	case masterpb.Event_SUBSCRIBED:
		state := event.GetSubscribed().GetGetState()
		return fmt.Sprintf("subscribed: %d agents, %d frameworks, %d tasks", len(state.GetGetAgents().GetAgents()),
			len(state.GetGetFrameworks().GetFrameworks()), len(state.GetGetTasks().GetTasks()))
	case masterpb.Event_TASK_ADDED:
		task := event.GetTaskAdded().GetTask()
		return "task added: " + task.GetTaskId().GetValue() + " " + task.GetState().String()
	case masterpb.Event_TASK_UPDATED:
		updated := event.GetTaskUpdated()
		text := "task " + updated.GetStatus().GetTaskId().GetValue() + ": " + updated.GetState().String()
		if message := updated.GetStatus().GetMessage(); message != "" {
			text += ": " + message
		}
		return text
	case masterpb.Event_AGENT_ADDED:
		info := event.GetAgentAdded().GetAgent().GetAgentInfo()
		return "agent added: " + info.GetHostname() + " " + info.GetId().GetValue()
	case masterpb.Event_AGENT_REMOVED:
		return "agent removed: " + event.GetAgentRemoved().GetAgentId().GetValue()
	case masterpb.Event_FRAMEWORK_ADDED:
		return "framework added: " + nameOf(event.GetFrameworkAdded().GetFramework())
	case masterpb.Event_FRAMEWORK_UPDATED:
		return "framework updated: " + nameOf(event.GetFrameworkUpdated().GetFramework())
	case masterpb.Event_FRAMEWORK_REMOVED:
		info := event.GetFrameworkRemoved().GetFrameworkInfo()
		return "framework removed: " + info.GetName() + " " + info.GetId().GetValue()
	}
	return strings.ToLower(strings.ReplaceAll(event.GetType().String(), "_", " "))
}

func nameOf(framework *masterpb.Response_GetFrameworks_Framework) string {
	info := framework.GetFrameworkInfo()
	return info.GetName() + " " + info.GetId().GetValue()
}
