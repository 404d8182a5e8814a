package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/resources"
)

func (a *App) reservationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reservation",
		Aliases: []string{"reservations"},
		Short:   "Resources that are kept for a role",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(a.reservationList(), a.reservationAdd(), a.reservationRemove())
	return cmd
}

func (a *App) reservationList() *cobra.Command {
	ls := &cobra.Command{
		Use:               "ls [NODE]",
		Aliases:           []string{"list"},
		Short:             "List what is reserved, and for which role",
		Example:           "  agora reservation ls\n  agora reservation ls node1 -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, agents, err := a.lookAtSome(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.print(reservationTable(agents))
		},
	}
	a.addOutput(ls)
	return ls
}

// reservation is a reserved amount as scripts see it.
type reservation struct {
	Node      string `json:"node"`
	AgentID   string `json:"agent_id"`
	Role      string `json:"role"`
	Type      string `json:"type"`
	Resource  string `json:"resource"`
	Amount    string `json:"amount"`
	Principal string `json:"principal,omitempty"`
	Volume    string `json:"volume,omitempty"`
}

func reservationTable(agents []*masterpb.Response_GetAgents_Agent) table {
	t := table{Columns: []string{"NODE", "ROLE", "RESOURCE", "AMOUNT", "VOLUME", "TYPE", "PRINCIPAL", "AGENT"}, Wide: 2}
	values := []reservation{}
	for _, agent := range agents {
		for _, r := range agent.GetTotalResources() {
			stack := r.GetReservations()
			if len(stack) == 0 {
				continue
			}
			top := stack[len(stack)-1]
			one := reservation{Node: agent.GetAgentInfo().GetHostname(), AgentID: agent.GetAgentInfo().GetId().GetValue(), Role: top.GetRole(),
				Type: strings.ToLower(top.GetType().String()), Resource: r.GetName(), Amount: amountText(r), Principal: top.GetPrincipal(),
				Volume: r.GetDisk().GetPersistence().GetId()}
			values = append(values, one)
			t.Rows = append(t.Rows, []string{one.Node, one.Role, one.Resource, one.Amount, one.Volume, one.Type, one.Principal, one.AgentID})
		}
	}
	t.Value = values
	return t
}

func amountText(r *mesos.Resource) string {
	return attributeText(&mesos.Attribute{Type: r.Type, Scalar: r.Scalar, Ranges: r.Ranges, Set: r.Set})
}

func (a *App) reservationAdd() *cobra.Command {
	var role, principal, refine string
	add := &cobra.Command{
		Use:   "add NODE RESOURCES --role ROLE",
		Short: "Reserve resources of a node for a role",
		Long: `Reserve resources of a node for a role. RESOURCES is like cpus:2;mem:1024;disk:4096 (MiB). Offers of
what is needed are taken back from frameworks.`,
		Example:           "  agora reservation add node1 'cpus:2;mem:4096' --role web\n  agora reservation add node1 cpus:1 --role web/batch --refine web",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := resources.Parse(args[1], "*")
			if err != nil {
				return usagef("RESOURCES %q: %v", args[1], err)
			}
			for _, level := range []string{refine, role} {
				if level == "" {
					continue
				}
				if wanted, err = wanted.PushReservation(dynamic(level, principal)); err != nil {
					return usagef("--role %s: %v", level, err)
				}
			}
			return a.onNode(cmd.Context(), args[0], "reserved "+args[1]+" for role "+role, func(agent *masterpb.Response_GetAgents_Agent) *masterpb.Call {
				return &masterpb.Call{Type: masterpb.Call_RESERVE_RESOURCES.Enum(), ReserveResources: &masterpb.Call_ReserveResources{
					AgentId: agent.GetAgentInfo().GetId(), Resources: wanted.Proto()}}
			})
		},
	}
	add.Flags().StringVar(&role, "role", "", "the role that gets them (required)")
	add.Flags().StringVar(&principal, "principal", "", "the principal of the reservation: who may undo it")
	add.Flags().StringVar(&refine, "refine", "", "a role above ROLE that they are reserved for now")
	_ = add.MarkFlagRequired("role")
	return add
}

func dynamic(role, principal string) *mesos.Resource_ReservationInfo {
	info := &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role}
	if principal != "" {
		info.Principal = &principal
	}
	return info
}

func (a *App) reservationRemove() *cobra.Command {
	var role string
	rm := &cobra.Command{
		Use:     "rm NODE [RESOURCES] --role ROLE",
		Aliases: []string{"remove"},
		Short:   "Give reserved resources of a node back to everybody",
		Long: `Give reserved resources of a node back. Without RESOURCES all that is reserved for the role by an
operation and holds no volume; a reservation by the agent's flags stays.`,
		Example:           "  agora reservation rm node1 mem:1024 --role web\n  agora reservation rm node1 --role web",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, agent, err := a.lookAt(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			list, err := reservedFor(agent, role, strings.Join(args[1:], ""))
			if err != nil {
				return err
			}
			call := &masterpb.Call{Type: masterpb.Call_UNRESERVE_RESOURCES.Enum(), UnreserveResources: &masterpb.Call_UnreserveResources{
				AgentId: agent.GetAgentInfo().GetId(), Resources: list}}
			return a.operate(cmd.Context(), call, "unreserved "+describeAmounts(list)+" of role "+role+" on "+agent.GetAgentInfo().GetHostname())
		},
	}
	rm.Flags().StringVar(&role, "role", "", "the role that loses them (required)")
	_ = rm.MarkFlagRequired("role")
	return rm
}

// reservedFor picks from an agent's dynamic reservations of a role what text asks for; all, when it is empty.
func reservedFor(agent *masterpb.Response_GetAgents_Agent, role, text string) (list []*mesos.Resource, err error) {
	left := map[string]int64{}
	if text != "" {
		wanted, err := resources.Parse(text, "*")
		if err != nil {
			return nil, usagef("RESOURCES %q: %v", text, err)
		}
		for _, name := range wanted.Names() {
			if left[name] = wanted.Scalar(name); left[name] == 0 {
				return nil, usagef("RESOURCES %q: only amounts can be chosen; without RESOURCES all of %s is given back", text, role)
			}
		}
	}
	for _, r := range agent.GetTotalResources() {
		n := len(r.GetReservations())
		if n == 0 || r.GetDisk().GetPersistence() != nil || r.GetReservations()[n-1].GetRole() != role ||
			r.GetReservations()[n-1].GetType() != mesos.Resource_ReservationInfo_DYNAMIC {
			continue
		}
		one := &mesos.Resource{Name: r.Name, Type: r.Type, Scalar: r.Scalar, Ranges: r.Ranges, Set: r.Set, Disk: r.Disk, Reservations: r.Reservations}
		if text != "" {
			have, err := resources.Milli(r.GetScalar().GetValue())
			if err != nil || left[r.GetName()] == 0 {
				continue
			}
			part := min(have, left[r.GetName()])
			left[r.GetName()] -= part
			value := resources.Float(part)
			one.Scalar = &mesos.Value_Scalar{Value: &value}
		}
		list = append(list, one)
	}
	for name, missing := range left {
		if missing > 0 {
			return nil, notFoundf("%s of %s more than role %s has reserved there; agora reservation ls lists it", trim(resources.Float(missing)), name, role)
		}
	}
	if len(list) == 0 {
		return nil, notFoundf("nothing without a volume is reserved for role %s there; agora reservation ls lists what is", role)
	}
	return list, nil
}

func describeAmounts(list []*mesos.Resource) string {
	var parts []string
	for _, r := range list {
		parts = append(parts, r.GetName()+":"+amountText(r))
	}
	return strings.Join(parts, ";")
}

// onNode finds a node, sends a call about it and says what was done.
func (a *App) onNode(ctx context.Context, name, done string, call func(*masterpb.Response_GetAgents_Agent) *masterpb.Call) error {
	_, agent, err := a.lookAt(ctx, name)
	if err != nil {
		return err
	}
	return a.operate(ctx, call(agent), done+" on "+agent.GetAgentInfo().GetHostname())
}

func (a *App) operate(ctx context.Context, call *masterpb.Call, done string) error {
	if _, err := a.operator(a.masterAddr()).Master(ctx, call); err != nil {
		return fmt.Errorf("master %s: %w", a.masterAddr(), err)
	}
	fmt.Fprintln(a.Out, done)
	return nil
}

// lookAt is one look at the cluster, and the agent in it that name means.
func (a *App) lookAt(ctx context.Context, name string) (*view, *masterpb.Response_GetAgents_Agent, error) {
	id, err := a.node(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	v, err := a.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	agent := v.agent(id.GetValue())
	if agent == nil {
		return nil, nil, notFoundf("node %s is away; agora node ls lists those that are there", name)
	}
	return v, agent, nil
}

// lookAtSome is the same for an optional name: without it the agents are all.
func (a *App) lookAtSome(ctx context.Context, names []string) (*view, []*masterpb.Response_GetAgents_Agent, error) {
	if len(names) == 0 {
		v, err := a.look(ctx)
		if err != nil {
			return nil, nil, err
		}
		return v, v.Agents, nil
	}
	v, agent, err := a.lookAt(ctx, names[0])
	return v, []*masterpb.Response_GetAgents_Agent{agent}, err
}
