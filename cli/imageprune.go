package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	agentpb "agora.dev/agora/api/mesos/v1/agent"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) imagePrune() *cobra.Command {
	var excluded []string
	cmd := &cobra.Command{
		Use:   "prune [NODE]",
		Short: "Have agents remove the images that no container uses",
		Long: `Have one agent, or all of them, remove the images that no container uses. This changes the agent's machine, so the
agents themselves are called: they must be reached from here. Agents can do so by themselves when their disk fills
up: agora agent --image_gc_config.`,
		Example:           "  agora image prune --exclude busybox --exclude team/base:1",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, agents, err := a.lookAtSome(cmd.Context(), args)
			if err != nil {
				return err
			}
			call := &agentpb.Call{Type: agentpb.Call_PRUNE_IMAGES.Enum(), PruneImages: &agentpb.Call_PruneImages{}}
			for _, name := range excluded {
				call.PruneImages.ExcludedImages = append(call.PruneImages.ExcludedImages,
					&mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: proto.String(name)}})
			}
			var failed error
			for _, agent := range agents {
				if err := a.callDirectly(cmd.Context(), agent, call); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintln(a.Out, agent.GetAgentInfo().GetHostname())
			}
			return failed
		},
	}
	cmd.Flags().StringArrayVar(&excluded, "exclude", nil, "an image that stays; may be repeated")
	return cmd
}

// callDirectly makes a call that a master does not pass on.
func (a *App) callDirectly(ctx context.Context, agent *masterpb.Response_GetAgents_Agent, call *agentpb.Call) error {
	address, err := agentAddr(agent)
	if err != nil {
		return err
	}
	if _, err := a.operator(a.url(address)).Agent(ctx, call); err != nil {
		return fmt.Errorf("agent %s at %s: %w", agent.GetAgentInfo().GetHostname(), address, err)
	}
	return nil
}
