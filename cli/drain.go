package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	masterpb "agora.dev/agora/api/mesos/v1/master"

	mesos "agora.dev/agora/api/mesos/v1"
)

// nodeDrain is a drain as scripts see it.
type nodeDrain struct {
	State string `json:"state"`
	Since string `json:"since"` // RFC 3339
	Grace string `json:"grace,omitempty"`
	Gone  bool   `json:"gone"`
}

func describeDrain(agent *masterpb.Response_GetAgents_Agent) *nodeDrain {
	config := agent.GetDrainInfo().GetConfig()
	d := &nodeDrain{State: agent.GetDrainInfo().GetState().String(), Gone: config.GetMarkGone(),
		Since: time.Unix(0, agent.GetEstimatedDrainStartTime().GetNanoseconds()).UTC().Format(time.RFC3339)}
	if config.MaxGracePeriod != nil {
		d.Grace = time.Duration(config.GetMaxGracePeriod().GetNanoseconds()).String()
	}
	return d
}

// drainOptions are the flags of agora node drain.
type drainOptions struct {
	grace, timeout time.Duration
	gone, wait     bool
}

func (a *App) drainCommand() *cobra.Command {
	o := drainOptions{}
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "End all tasks of an agent and keep new ones away",
		Long: `End all tasks of an agent, each with its own grace period, and keep new ones away until
agora node undrain. A drain outlives restarts of masters and of the agent.`,
		Example: "  agora node drain web-7 --grace 30s --wait\n  agora node drain web-7 --gone",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.grace < 0 || o.timeout < 0 {
				return usagef("--grace and --timeout cannot be negative")
			}
			return a.drain(cmd, args[0], o)
		},
	}
	cmd.Flags().DurationVar(&o.grace, "grace", 0, "bound of each task's grace period; 0 leaves it to the task")
	cmd.Flags().BoolVar(&o.gone, "gone", false, "then mark the agent gone: it never returns")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "return when nothing is left on the agent")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "how long --wait waits; 0 for ever")
	return a.nodeVerb(cmd)
}

func (a *App) drain(cmd *cobra.Command, name string, o drainOptions) error {
	id, err := a.node(cmd.Context(), name)
	if err != nil {
		return err
	}
	call := &masterpb.Call{Type: masterpb.Call_DRAIN_AGENT.Enum(), DrainAgent: &masterpb.Call_DrainAgent{AgentId: id, MarkGone: &o.gone}}
	if cmd.Flags().Changed("grace") && o.grace > 0 {
		call.DrainAgent.MaxGracePeriod = durationpb.New(o.grace)
	}
	ctx := cmd.Context()
	if err := a.callNode(ctx, "drain", name, call); err != nil {
		return err
	}
	if o.wait {
		if o.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.timeout)
			defer cancel()
		}
		if err := a.waitDrained(ctx, id); err != nil {
			return err
		}
	}
	return a.printNode(cmd.Context(), id)
}

// drainPoll is how often a drain is looked at.
const drainPoll = 250 * time.Millisecond

// waitDrained waits until an agent is DRAINED, or gone.
func (a *App) waitDrained(ctx context.Context, id *mesos.AgentID) error {
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for {
		v, err := a.look(ctx)
		if err != nil {
			return err
		}
		agent := v.agent(id.GetValue())
		if agent == nil || agent.GetDrainInfo() == nil || agent.GetDrainInfo().GetState() == mesos.DrainState_DRAINED {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return exitf(ExitTimeout, "agent %s is still draining; agora ps shows what it runs", id.GetValue())
		}
	}
}

func (a *App) undrainCommand() *cobra.Command {
	return a.nodeVerb(&cobra.Command{
		Use: "undrain NODE", Short: "Offer an agent again that was drained",
		Example: "  agora node undrain web-7",
		Args:    cobra.ExactArgs(1),
		RunE:    a.reactivate("undrain"),
	})
}

func (a *App) reactivateCommand() *cobra.Command {
	return a.nodeVerb(&cobra.Command{
		Use: "reactivate NODE", Short: "Offer an agent again that was deactivated",
		Example: "  agora node reactivate web-7",
		Args:    cobra.ExactArgs(1),
		RunE:    a.reactivate("reactivate"),
	})
}

func (a *App) reactivate(verb string) func(*cobra.Command, []string) error {
	return a.changeNode(verb, func(id *mesos.AgentID) *masterpb.Call {
		return &masterpb.Call{Type: masterpb.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &masterpb.Call_ReactivateAgent{AgentId: id}}
	})
}

func (a *App) deactivateCommand() *cobra.Command {
	return a.nodeVerb(&cobra.Command{
		Use: "deactivate NODE", Short: "Keep new tasks away from an agent; those that run stay",
		Example: "  agora node deactivate web-7",
		Args:    cobra.ExactArgs(1),
		RunE: a.changeNode("deactivate", func(id *mesos.AgentID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_DEACTIVATE_AGENT.Enum(), DeactivateAgent: &masterpb.Call_DeactivateAgent{AgentId: id}}
		}),
	})
}

func (a *App) goneCommand() *cobra.Command {
	return a.nodeVerb(&cobra.Command{
		Use: "gone NODE", Short: "Declare that an agent never comes back",
		Long: `Declare that an agent never comes back: its tasks are gone, and its frameworks may start
them elsewhere. An agent that is alive after all is told to end. This cannot be undone.`,
		Example: "  agora node gone 3f2c9d1e-S4",
		Args:    cobra.ExactArgs(1),
		RunE: a.changeNode("mark gone", func(id *mesos.AgentID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_MARK_AGENT_GONE.Enum(), MarkAgentGone: &masterpb.Call_MarkAgentGone{AgentId: id}}
		}),
	})
}

// nodeVerb gives a command what all that change a node have.
func (a *App) nodeVerb(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = a.completeNodes
	a.addOutput(cmd)
	return cmd
}

// changeNode makes a call about the node that is named, and shows it as it is then.
func (a *App) changeNode(verb string, call func(*mesos.AgentID) *masterpb.Call) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		id, err := a.node(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := a.callNode(cmd.Context(), verb, args[0], call(id)); err != nil {
			return err
		}
		return a.printNode(cmd.Context(), id)
	}
}

func (a *App) callNode(ctx context.Context, verb, name string, call *masterpb.Call) error {
	if _, err := a.operator(a.masterAddr()).Master(ctx, call); err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	return nil
}

// printNode shows one node; an agent that is away or gone is not listed, so only its ID is known.
func (a *App) printNode(ctx context.Context, id *mesos.AgentID) error {
	v, err := a.look(ctx)
	if err != nil {
		return err
	}
	agent := v.agent(id.GetValue())
	if agent == nil {
		return a.print(table{Columns: []string{"NODE", "STATE"}, Rows: [][]string{{id.GetValue(), "absent"}},
			Value: []node{{ID: id.GetValue(), State: "absent"}}})
	}
	v.Agents = []*masterpb.Response_GetAgents_Agent{agent}
	t, err := nodeTable(v, "")
	if err != nil {
		return err
	}
	return a.print(t)
}

// agent is the one with an ID; nil for none.
func (v *view) agent(id string) *masterpb.Response_GetAgents_Agent {
	for _, agent := range v.Agents {
		if agent.GetAgentInfo().GetId().GetValue() == id {
			return agent
		}
	}
	return nil
}

// node finds the one agent that name means: its ID, a unique prefix of it, or its hostname. An
// agent that is away is not listed; its whole ID is taken as it is.
func (a *App) node(ctx context.Context, name string) (*mesos.AgentID, error) {
	v, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	var found []*mesos.AgentID
	for _, agent := range v.Agents {
		info := agent.GetAgentInfo()
		id := info.GetId()
		if id.GetValue() == name {
			return id, nil
		}
		if info.GetHostname() == name || strings.HasPrefix(id.GetValue(), name) || strings.HasSuffix(id.GetValue(), "-"+name) {
			found = append(found, id)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var ids []string
		for _, id := range found {
			ids = append(ids, id.GetValue())
		}
		return nil, notFoundf("%q means %d nodes: %s; name one of them", name, len(found), strings.Join(ids, ", "))
	case strings.Contains(name, "-S"):
		return &mesos.AgentID{Value: &name}, nil
	}
	return nil, notFoundf("no node %q; agora node ls lists them", name)
}

// completeNodes offers the IDs of agents to the shell.
func (a *App) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	v, err := a.look(cmd.Context())
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, agent := range v.Agents {
		names = append(names, agent.GetAgentInfo().GetId().GetValue()+"\t"+agent.GetAgentInfo().GetHostname())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
