package core

import (
	"slices"
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Snapshot is what readers see. What it points to is never changed.
type Snapshot struct {
	Agent *mesos.AgentInfo // with the ID once registered
	// MasterHostname is that of the master that it registered with last; empty before.
	MasterHostname string
	Recovered      bool
	Registered     bool
	Drain          *mesos.DrainConfig
	DrainSince     time.Time
	Frameworks     []FrameworkView
	Completed      []FrameworkView
	Counters       Counters
	// Total is what the agent has, with reservations and volumes; Operations are those
	// without acknowledgement.
	Total      []*mesos.Resource
	Operations []*mesos.Operation
	// Oversubscribed are the revocable resources that the master was told of, lent ones included.
	Oversubscribed []*mesos.Resource
}

// FrameworkView is one framework.
type FrameworkView struct {
	Info      *mesos.FrameworkInfo
	Executors []ExecutorView
	Completed []ExecutorView
}

// ExecutorView is one run of an executor.
type ExecutorView struct {
	Run     Run
	Kind    Kind
	Info    *mesos.ExecutorInfo
	Sandbox string
	State   string // REGISTERING, RUNNING, TERMINATING, TERMINATED
	// Resources are the executor's and those of its live tasks.
	Resources  []*mesos.Resource
	Queued     []*mesos.TaskInfo
	Launched   []*mesos.Task // delivered and alive
	Terminated []*mesos.Task // ended, the last update not acknowledged
	Completed  []*mesos.Task
	Containers []ContainerView
	// User is the one that its command names, else its framework; of a command task its own.
	User string
	// Users are those of its tasks that it still has.
	Users []string
}

// ContainerView is one live container.
type ContainerView struct {
	ID     containerizer.ID
	Task   TaskID // empty for an executor's own
	PID    int
	Status *mesos.ContainerStatus
	// User is the one that its command names, else its framework.
	User string
}

// Snapshot shows the present. Call it between steps only.
func (c *Core) Snapshot() *Snapshot {
	s := &Snapshot{
		Agent: c.info, MasterHostname: c.session.master, Recovered: c.recovered, Registered: c.session.phase == joined,
		Drain: c.drain, DrainSince: c.drainSince, Counters: c.counters,
		Total: c.total.Proto(), Operations: c.operations.records(), Oversubscribed: c.oversubscribed.Proto(),
	}
	containers := map[*executorRun][]ContainerView{}
	for id, have := range c.containers {
		if !have.live {
			continue
		}
		v := ContainerView{ID: id, PID: have.pid, Status: have.status, User: userOf(have.exec.framework, have.exec.info.GetCommand())}
		if have.task != nil {
			v.Task, v.User = taskID(have.task.info), have.exec.taskUser(have.task.info)
		}
		containers[have.exec] = append(containers[have.exec], v)
	}
	for _, id := range sorted(c.frameworks) {
		s.Frameworks = append(s.Frameworks, c.viewFramework(c.frameworks[id], containers))
	}
	for _, f := range c.completed {
		s.Completed = append(s.Completed, c.viewFramework(f, containers))
	}
	return s
}

func (c *Core) viewFramework(f *framework, containers map[*executorRun][]ContainerView) FrameworkView {
	v := FrameworkView{Info: f.info}
	for _, id := range sorted(f.executors) {
		v.Executors = append(v.Executors, c.viewExecutor(f.executors[id], containers))
	}
	for _, e := range f.completed {
		v.Completed = append(v.Completed, c.viewExecutor(e, containers))
	}
	return v
}

func (c *Core) viewExecutor(e *executorRun, containers map[*executorRun][]ContainerView) ExecutorView {
	v := ExecutorView{
		Run: e.run, Kind: e.kind, Info: e.info, Sandbox: c.sandbox(e, e.run.Container),
		State: e.state.String(), Resources: e.used(), Completed: slices.Clone(e.completed),
		Containers: containers[e], User: e.user(),
	}
	slices.SortFunc(v.Containers, func(a, b ContainerView) int {
		return compareIDs(a.ID, b.ID)
	})
	for _, id := range sorted(e.tasks) {
		t := e.tasks[id]
		if user := e.taskUser(t.info); !slices.Contains(v.Users, user) {
			v.Users = append(v.Users, user)
		}
		switch {
		case terminalState(t.proto.GetState()):
			v.Terminated = append(v.Terminated, t.proto)
		case t.delivered:
			v.Launched = append(v.Launched, t.proto)
		default:
			v.Queued = append(v.Queued, t.info)
		}
	}
	return v
}

// user is whom the executor belongs to.
func (e *executorRun) user() string {
	if e.kind == Command {
		for _, t := range e.tasks { // it has one
			return e.taskUser(t.info)
		}
		for _, t := range e.completed {
			if t.GetUser() != "" {
				return t.GetUser()
			}
		}
	}
	return userOf(e.framework, e.info.GetCommand())
}

func compareIDs(a, b containerizer.ID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// used is what the executor and its live tasks take from the agent.
func (e *executorRun) used() []*mesos.Resource {
	if e.state == terminated {
		return nil
	}
	out := slices.Clone(e.info.GetResources())
	for _, id := range sorted(e.tasks) {
		if t := e.tasks[id]; !terminalState(t.proto.GetState()) {
			out = append(out, t.info.GetResources()...)
		}
	}
	return out
}

// String names a state as Mesos's metrics do.
func (s runState) String() string {
	switch s {
	case registering:
		return "REGISTERING"
	case running:
		return "RUNNING"
	case terminating:
		return "TERMINATING"
	}
	return "TERMINATED"
}
