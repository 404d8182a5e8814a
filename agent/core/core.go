package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/statusupdates"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// Core is an agent. Make one with New; its first event is Recovered.
type Core struct {
	config Config
	info   *mesos.AgentInfo // with the ID once there is one
	// shown is what executors are told of shownOf, the info that it was made of.
	shown, shownOf *mesos.AgentInfo

	recovered  bool
	stopping   bool // everything is being killed, then Exit
	stopErr    error
	forget     bool // and the ID then
	drain      *mesos.DrainConfig
	drainSince time.Time
	total      resources.Resources // with reservations and volumes as of now
	operations operations
	// oversubscribed is the last estimate: what is lent, and what may be.
	oversubscribed resources.Resources
	session        session
	frameworks     map[FrameworkID]*framework
	completed      []*framework // oldest first
	containers     map[containerizer.ID]*container
	connections    map[ConnectionID]*executorRun
	updates        *statusupdates.Manager
	timers         timers
	counters       Counters

	now     time.Time
	out     *Ready
	pending []delivery                // inputs of built-in executors
	dirty   map[*executorRun]struct{} // built-in executors whose state changed
	late    []Write                   // only with a planted bug
}

// Counters count what has happened since the agent's process began.
type Counters struct {
	Finished, Failed, Killed, Lost    int
	ValidUpdates, InvalidUpdates      int
	ValidMessages, InvalidMessages    int
	LaunchErrors, ExecutorsTerminated int
	Preempted                         int // executors
	Registrations                     int
}

// framework is what an agent knows of a framework.
type framework struct {
	id          FrameworkID
	info        *mesos.FrameworkInfo
	executors   map[ExecutorID]*executorRun
	completed   []*executorRun // oldest first
	terminating bool           // nobody acknowledges its updates any more
	recovering  bool           // not all of its executors have been read yet
}

// runState is where an executor stands.
type runState int

const (
	registering runState = iota + 1
	running
	terminating
	terminated
)

// executorRun is one run of an executor.
type executorRun struct {
	run       Run
	kind      Kind
	info      *mesos.ExecutorInfo
	framework *framework
	state     runState
	tasks     map[TaskID]*task // until the terminal update is acknowledged
	queued    []launch         // not delivered yet, in order
	completed []*mesos.Task    // bounded, oldest first
	recorded  int              // how many of them, and of earlier ones, are on disk

	builtin    builtinCore
	coreState  []byte // to be written at the end of the step
	onDisk     []byte // what was recovered of it; nil once it is overwritten
	connection ConnectionID
	reconnect  bool      // lived before this agent; has not subscribed again
	deadline   time.Time // of registration, or of a shutdown
	wake       time.Time // of the built-in core
	armed      time.Time // the earliest entry in the timer heap
	cause      *Cause    // why the agent ends it
	explained  bool      // the cause is on disk
	destroying bool
}

// launch is one task, or one task group, to deliver.
type launch struct {
	group bool
	tasks []*task
}

type task struct {
	info      *mesos.TaskInfo
	proto     *mesos.Task // replaced, never changed
	exec      *executorRun
	delivered bool
	container containerizer.ID
	kill      *mesos.KillPolicy
	killed    bool
}

// container is a container of a run: its own, or a nested one.
type container struct {
	id     containerizer.ID
	exec   *executorRun
	task   *task // nil for the own container of a pod or custom executor
	pid    int
	status *mesos.ContainerStatus
	live   bool
}

// New makes a core that waits for Recovered.
func New(config Config) *Core {
	return &Core{
		config: config.withDefaults(), info: config.Info,
		frameworks: map[FrameworkID]*framework{}, containers: map[containerizer.ID]*container{},
		connections: map[ConnectionID]*executorRun{}, updates: statusupdates.New(),
		dirty: map[*executorRun]struct{}{},
	}
}

// Step handles one event.
func (c *Core) Step(now time.Time, event Event) Ready {
	var out Ready
	c.now, c.out = now, &out
	c.out.Persist, c.late = append(c.out.Persist, c.late...), nil
	c.handle(event)
	c.pump()
	c.expire()
	c.pump()
	c.finish()
	c.sendDue()
	c.sendOperations()
	c.tellDrained()
	out.Wake = c.wake()
	c.out = nil
	return out
}

func (c *Core) handle(event Event) {
	if _, first := event.(Recovered); !c.recovered && !first {
		c.early(event)
		return
	}
	switch e := event.(type) {
	case Recovered:
		c.recover(e)
	case LinkOpened:
		c.linkOpened(e)
	case LinkClosed:
		c.linkClosed(e)
	case LeaderChanged:
		c.leaderChanged()
	case FromMaster:
		c.fromMaster(e)
	case ExecutorSubscribed:
		c.subscribed(e)
	case ExecutorDisconnected:
		c.disconnected(e)
	case ExecutorCall:
		c.call(e)
	case ContainerLaunched:
		c.containerLaunched(e)
	case ContainerLaunchFailed:
		c.containerLaunchFailed(e)
	case ContainerTerminated:
		c.containerTerminated(e)
	case ContainerNotSignalled:
		c.containerNotSignalled(e)
	case ContainerNotUpdated:
		c.containerNotUpdated(e)
	case ContainerProbed:
		c.containerProbed(e)
	case Oversubscribable:
		c.oversubscribable(e)
	case Preempt:
		c.preempt(e)
	case ShutDown:
		c.shutDown(e)
	case Tick:
	}
}

// early refuses what comes before Recovered.
func (c *Core) early(event Event) {
	switch e := event.(type) {
	case ExecutorSubscribed:
		c.send(Reply{Request: e.Request, Err: ErrRecovering})
	case ExecutorCall:
		c.send(Reply{Request: e.Request, Err: ErrRecovering})
	}
}

func (c *Core) send(s Send)     { c.out.Send = append(c.out.Send, s) }
func (c *Core) persist(w Write) { c.out.Persist = append(c.out.Persist, w) }
func (c *Core) agentID() string { return c.info.GetId().GetValue() }
func (c *Core) note(text string, facts ...any) {
	c.out.Notes = append(c.out.Notes, Note{Text: text, Facts: facts})
}
func (c *Core) debug(text string, facts ...any) {
	c.out.Notes = append(c.out.Notes, Note{Debug: true, Text: text, Facts: facts})
}

func (c *Core) toMaster(m *link.FromAgent) {
	if c.session.link != 0 {
		c.send(ToMaster{Link: c.session.link, Message: m})
	}
}

// wake is the earliest of all timers.
func (c *Core) wake() time.Time {
	return earliest(c.session.wake(), c.timers.next(), c.updates.Wake(), c.operations.wake())
}

func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}

// runs lists the executors of all frameworks in order of their keys.
func (c *Core) runs() []*executorRun {
	var all []*executorRun
	for _, f := range sorted(c.frameworks) {
		for _, e := range sorted(c.frameworks[f].executors) {
			all = append(all, c.frameworks[f].executors[e])
		}
	}
	return all
}

func (f *framework) has(capability mesos.FrameworkInfo_Capability_Type) bool {
	if f == nil {
		return false
	}
	for _, have := range f.info.GetCapabilities() {
		if have.GetType() == capability {
			return true
		}
	}
	return false
}

// lostState is LOST, or what a PARTITION_AWARE framework gets instead.
func (f *framework) lostState(aware mesos.TaskState) mesos.TaskState {
	if f.has(mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		return aware
	}
	return mesos.TaskState_TASK_LOST
}
