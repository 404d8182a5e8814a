package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) volumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "volume",
		Aliases: []string{"volumes"},
		Short:   "Persistent volumes: data that outlives its task",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(a.volumeList(), a.volumeAdd(), a.volumeRemove())
	return cmd
}

func (a *App) volumeList() *cobra.Command {
	ls := &cobra.Command{
		Use:               "ls [NODE]",
		Aliases:           []string{"list"},
		Short:             "List persistent volumes and the tasks that use them",
		Example:           "  agora volume ls\n  agora volume ls -o json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, agents, err := a.lookAtSome(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.print(volumeTable(v, agents))
		},
	}
	a.addOutput(ls)
	return ls
}

// persistentVolume is a persistent volume as scripts see it.
type persistentVolume struct {
	ID      string   `json:"id"`
	Node    string   `json:"node"`
	AgentID string   `json:"agent_id"`
	Role    string   `json:"role"`
	SizeMiB float64  `json:"size_mib"`
	Disk    string   `json:"disk"` // ROOT, or PATH or MOUNT with its root
	Shared  bool     `json:"shared"`
	Path    string   `json:"container_path"`
	Tasks   []string `json:"tasks,omitempty"`
}

func volumeTable(v *view, agents []*masterpb.Response_GetAgents_Agent) table {
	t := table{Columns: []string{"VOLUME", "NODE", "ROLE", "SIZE MiB", "SHARED", "TASKS", "DISK", "PATH", "AGENT"}, Wide: 3}
	values := []persistentVolume{}
	for _, agent := range agents {
		for _, r := range agent.GetTotalResources() {
			if r.GetDisk().GetPersistence() == nil {
				continue
			}
			one := describeVolume(agent, r)
			one.Tasks = v.tasksOn(one)
			values = append(values, one)
			shared := "no"
			if one.Shared {
				shared = "yes"
			}
			t.Rows = append(t.Rows, []string{one.ID, one.Node, one.Role, trim(one.SizeMiB), shared, strings.Join(one.Tasks, ","), one.Disk, one.Path, one.AgentID})
		}
	}
	t.Value = values
	return t
}

func describeVolume(agent *masterpb.Response_GetAgents_Agent, r *mesos.Resource) persistentVolume {
	one := persistentVolume{ID: r.GetDisk().GetPersistence().GetId(), Node: agent.GetAgentInfo().GetHostname(),
		AgentID: agent.GetAgentInfo().GetId().GetValue(), Role: topRole(r), SizeMiB: r.GetScalar().GetValue(),
		Disk: "ROOT", Shared: r.Shared != nil, Path: r.GetDisk().GetVolume().GetContainerPath()}
	if source := r.GetDisk().GetSource(); source != nil {
		one.Disk = source.GetType().String() + " " + source.GetPath().GetRoot() + source.GetMount().GetRoot()
	}
	return one
}

// topRole is the role that a resource is reserved for.
func topRole(r *mesos.Resource) string {
	if n := len(r.GetReservations()); n > 0 {
		return r.GetReservations()[n-1].GetRole()
	}
	return r.GetRole()
}

func (v *view) tasksOn(on persistentVolume) (ids []string) {
	for _, t := range v.Tasks {
		for _, r := range t.GetResources() {
			if !t.Completed && t.GetAgentId().GetValue() == on.AgentID && r.GetDisk().GetPersistence().GetId() == on.ID && topRole(r) == on.Role {
				ids = append(ids, t.GetTaskId().GetValue())
			}
		}
	}
	return ids
}

// newVolume is what agora volume add makes.
type newVolume struct {
	id, role, principal, path string
	size                      float64
	shared, reserved          bool
}

func (a *App) volumeAdd() *cobra.Command {
	var n newVolume
	add := &cobra.Command{
		Use:   "add NODE VOLUME --role ROLE --size MIB",
		Short: "Make a persistent volume on a node",
		Long: `Reserve disk of a node for a role and make a volume of it. Frameworks of the role get it in
their offers, and the tasks that they launch with it see it at the path. It stays until it is removed.`,
		Example:           "  agora volume add node1 db --role data --size 4096\n  agora volume add node1 pictures --role web --size 512 --shared --path /srv/pictures",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeNodes,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n.id = args[1]; !(n.size > 0) {
				return usagef("--size must be above 0 MiB, not %s", trim(n.size))
			}
			return a.addVolume(cmd.Context(), args[0], n)
		},
	}
	flags := add.Flags()
	flags.StringVar(&n.role, "role", "", "the role that gets it (required)")
	flags.Float64Var(&n.size, "size", 0, "its size in MiB (required)")
	flags.StringVar(&n.path, "path", "data", "where tasks see it: in their sandbox, or absolute in their image")
	flags.StringVar(&n.principal, "principal", "", "the principal of reservation and volume: who may undo them")
	flags.BoolVar(&n.shared, "shared", false, "several tasks may use it at once")
	flags.BoolVar(&n.reserved, "reserved", false, "the role has reserved the disk already")
	_ = add.MarkFlagRequired("role")
	_ = add.MarkFlagRequired("size")
	return add
}

func (a *App) addVolume(ctx context.Context, node string, n newVolume) error {
	if !n.reserved {
		err := a.onNode(ctx, node, "reserved disk:"+trim(n.size)+" for role "+n.role, func(agent *masterpb.Response_GetAgents_Agent) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_RESERVE_RESOURCES.Enum(), ReserveResources: &masterpb.Call_ReserveResources{
				AgentId: agent.GetAgentInfo().GetId(), Resources: []*mesos.Resource{n.disk()}}}
		})
		if err != nil {
			return err
		}
	}
	one := n.disk()
	one.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &n.id},
		Volume: &mesos.Volume{ContainerPath: &n.path, Mode: mesos.Volume_RW.Enum()}}
	if n.principal != "" {
		one.Disk.Persistence.Principal = &n.principal
	}
	if n.shared {
		one.Shared = &mesos.Resource_SharedInfo{}
	}
	return a.onNode(ctx, node, "made volume "+n.id, func(agent *masterpb.Response_GetAgents_Agent) *masterpb.Call {
		return &masterpb.Call{Type: masterpb.Call_CREATE_VOLUMES.Enum(), CreateVolumes: &masterpb.Call_CreateVolumes{
			AgentId: agent.GetAgentInfo().GetId(), Volumes: []*mesos.Resource{one}}}
	})
}

func (n newVolume) disk() *mesos.Resource {
	return &mesos.Resource{Name: ptr("disk"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &n.size},
		Reservations: []*mesos.Resource_ReservationInfo{dynamic(n.role, n.principal)}}
}

func (a *App) volumeRemove() *cobra.Command {
	var role string
	var keep bool
	rm := &cobra.Command{
		Use:               "rm NODE VOLUME",
		Aliases:           []string{"remove"},
		Short:             "Destroy a persistent volume with its data, and give its disk back",
		Example:           "  agora volume rm node1 db\n  agora volume rm node1 db --keep-reservation",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, agent, err := a.lookAt(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			one, err := v.volume(agent, args[1], role)
			if err != nil {
				return err
			}
			return a.destroyVolume(cmd.Context(), agent, one, keep)
		},
	}
	rm.Flags().StringVar(&role, "role", "", "the role of the volume, where two roles have one of that name")
	rm.Flags().BoolVar(&keep, "keep-reservation", false, "leave the disk reserved for the role")
	return rm
}

func (a *App) destroyVolume(ctx context.Context, agent *masterpb.Response_GetAgents_Agent, one *mesos.Resource, keep bool) error {
	id, where := agent.GetAgentInfo().GetId(), " on "+agent.GetAgentInfo().GetHostname()
	destroy := &masterpb.Call{Type: masterpb.Call_DESTROY_VOLUMES.Enum(), DestroyVolumes: &masterpb.Call_DestroyVolumes{
		AgentId: id, Volumes: []*mesos.Resource{one}}}
	if err := a.operate(ctx, destroy, "destroyed volume "+one.GetDisk().GetPersistence().GetId()+where); err != nil {
		return err
	}
	top := one.GetReservations()[len(one.GetReservations())-1]
	if keep || top.GetType() != mesos.Resource_ReservationInfo_DYNAMIC { // the other kind is the agent's own, by its flags
		return nil
	}
	plain := &mesos.Resource{Name: one.Name, Type: one.Type, Scalar: one.Scalar, Reservations: one.Reservations}
	if source := one.GetDisk().GetSource(); source != nil {
		plain.Disk = &mesos.Resource_DiskInfo{Source: source}
	}
	unreserve := &masterpb.Call{Type: masterpb.Call_UNRESERVE_RESOURCES.Enum(), UnreserveResources: &masterpb.Call_UnreserveResources{
		AgentId: id, Resources: []*mesos.Resource{plain}}}
	return a.operate(ctx, unreserve, "unreserved "+describeAmounts([]*mesos.Resource{plain})+" of role "+topRole(one)+where)
}

// volume finds a volume of an agent.
func (v *view) volume(agent *masterpb.Response_GetAgents_Agent, id, role string) (found *mesos.Resource, err error) {
	for _, r := range agent.GetTotalResources() {
		if r.GetDisk().GetPersistence().GetId() != id || r.GetDisk().GetPersistence() == nil || role != "" && topRole(r) != role {
			continue
		}
		if found != nil {
			return nil, notFoundf("roles %s and %s both have a volume %q there; choose with --role", topRole(found), topRole(r), id)
		}
		found = &mesos.Resource{Name: r.Name, Type: r.Type, Scalar: r.Scalar, Disk: r.Disk, Shared: r.Shared, Reservations: r.Reservations}
	}
	if found == nil {
		return nil, notFoundf("no volume %q on %s; agora volume ls lists them", id, agent.GetAgentInfo().GetHostname())
	}
	if tasks := v.tasksOn(describeVolume(agent, found)); len(tasks) > 0 {
		return nil, exitf(ExitFailure, "volume %q is used by %s; end them first (agora kill)", id, strings.Join(tasks, ", "))
	}
	return found, nil
}

// completeVolumes completes NODE, and then the volumes there.
func (a *App) completeVolumes(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeNodes(cmd, args, typed)
	}
	_, agent, err := a.lookAt(cmd.Context(), args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, r := range agent.GetTotalResources() {
		if id := r.GetDisk().GetPersistence().GetId(); id != "" {
			names = append(names, id+"\t"+topRole(r))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
