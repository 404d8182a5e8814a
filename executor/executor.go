// Package executor holds the contract between a built-in executor's core and
// whatever hosts it: the agent itself, or a process that speaks the executor HTTP
// API (package process).
//
// A core is pure. It owns the life of its tasks: which state each is in, when a
// kill becomes forceful, what ends a task group. It promises that every task that it
// was given ends with exactly one terminal update, and that State is enough to go on
// after a crash of its host. It refuses to know how a container is made.
package executor

import (
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor/checks"
)

// DefaultKillGrace is the time between SIGTERM and SIGKILL when neither the kill nor
// the task has a policy. Mesos docs/high-availability-framework-guide.md: 3 s.
const DefaultKillGrace = 3 * time.Second

// ContainerID names a container: the value of the root container, or values joined
// with dots for nested ones.
type ContainerID string

// Config is what a core is born with.
type Config struct {
	FrameworkID string
	ExecutorID  string
	// Container is the executor's own container.
	Container ContainerID
	// ShutdownGrace is how long after SHUTDOWN the host waits before it destroys the
	// executor's container.
	ShutdownGrace time.Duration
	// NewUUID yields identifiers of updates and nested containers.
	NewUUID func() [16]byte
	// Boot is the wall-clock time at which the machine started. Deadlines are kept
	// as distances from it, so that a clock step does not shorten a grace period.
	Boot time.Time
}

// Input is what happens to a core. The set is closed.
type Input interface{ input() }

// FromAgent is an event of the executor API.
type FromAgent struct{ Event *execapi.Event }

// Disconnected says that the agent cannot be reached; updates wait.
type Disconnected struct{}

// Recovered follows a restart of the host: what became of the containers. One that
// is in neither list was never made, or its record is lost.
type Recovered struct {
	Live  []ContainerID
	Ended map[ContainerID]Termination
}

// Launched says that a container's command has been executed.
type Launched struct {
	Container ContainerID
	PID       int
}

// LaunchFailed says that a container could not be made. Message is fit for a user.
type LaunchFailed struct {
	Container ContainerID
	Reason    mesos.TaskStatus_Reason // 0: CONTAINER_LAUNCH_FAILED
	Message   string
}

// Terminated says that a container has ended.
type Terminated struct {
	Container   ContainerID
	Termination Termination
}

// TerminateFailed says that a Terminate had no effect.
type TerminateFailed struct{ Container ContainerID }

// Probed is the result of a Probe.
type Probed struct {
	Container ContainerID
	Report    checks.Report
}

// Tick is the passing of time.
type Tick struct{}

func (FromAgent) input()    {}
func (Disconnected) input() {}
func (Recovered) input()    {}
func (Launched) input()     {}
func (LaunchFailed) input() {}
func (Terminated) input()   {}
func (Probed) input()       {}

func (TerminateFailed) input() {}
func (Tick) input()            {}

// Termination is how a container ended; see containerizer.Termination, whose fields
// it has.
type Termination struct {
	Status  *int32
	State   mesos.TaskState
	Reason  mesos.TaskStatus_Reason
	Message string
	Limited []*mesos.Resource
}

// Command is what a core asks of its host. The set is closed.
type Command interface{ command() }

// Launch makes a container and runs the task's command in it. The host answers
// Launched or LaunchFailed, and after Launched some day Terminated.
type Launch struct {
	Container ContainerID
	Task      *mesos.TaskInfo
}

// Terminate sends SIGTERM to a container's processes.
type Terminate struct{ Container ContainerID }

// Probe makes one probe of a task's check. The host answers Probed with the number of
// the probe. It may come while Terminated is on its way.
type Probe struct {
	Container ContainerID
	Task      *mesos.TaskInfo
	Probe     checks.Probe
}

// Destroy kills a container and all that it holds.
type Destroy struct{ Container ContainerID }

// Remove forgets an ended container.
type Remove struct{ Container ContainerID }

func (Launch) command()    {}
func (Terminate) command() {}
func (Probe) command()     {}
func (Destroy) command()   {}
func (Remove) command()    {}

// Ready is what a step yields. State is to be durable first, then Calls are
// delivered, then Commands are carried out, each in order.
type Ready struct {
	// State is set when what Restore needs has changed.
	State    []byte
	Calls    []*execapi.Call
	Commands []Command
	// Wake is when the core wants a Tick next; zero: never.
	Wake time.Time
	// Done says that the executor has nothing left to do and is to be ended.
	Done bool
}

// Quiet says that nothing happened that Restore would have to know: no call, and no
// command but probes.
func (r *Ready) Quiet() bool {
	for _, c := range r.Commands {
		if _, probe := c.(Probe); !probe {
			return false
		}
	}
	return len(r.Calls) == 0
}

// Core is a built-in executor.
type Core interface {
	Step(now time.Time, in Input) Ready
	// Subscribe is the call that (re)connects: it lists what the agent may have
	// missed.
	Subscribe() *execapi.Call
}
