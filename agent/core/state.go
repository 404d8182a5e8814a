package core

import (
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Kind says what runs an executor's tasks.
type Kind string

const (
	// Command is the built-in executor of a task that has no executor.
	Command Kind = "command"
	// TaskGroup is the built-in executor of ExecutorInfo.Type DEFAULT.
	TaskGroup Kind = "taskgroup"
	// Custom is a process of the framework's own.
	Custom Kind = "custom"
)

// Run names one life of an executor: it is the place of all that is written of it.
type Run struct {
	Key       ExecutorKey
	Container containerizer.ID
}

// Write is one change of what is durable. The set is closed. Each survives a crash
// of the agent's process; WriteAgent, WriteResources and WriteDrain survive loss of
// power too.
type Write interface{ write() }

// WriteAgent records the admitted agent.
type WriteAgent struct{ Info *mesos.AgentInfo }

// WriteResources records dynamic reservations and volumes, and the operations whose end
// nobody has acknowledged, as one. The data of the volumes in Removing is gone with it.
type WriteResources struct {
	Resources  []*mesos.Resource
	Operations []*mesos.Operation
	Removing   []*mesos.Resource
}

// WriteDrain records a drain; nil ends it.
type WriteDrain struct{ Config *mesos.DrainConfig }

// WriteFramework records a framework, or what changed of it.
type WriteFramework struct{ Info *mesos.FrameworkInfo }

// WriteExecutor records a new run of an executor.
type WriteExecutor struct {
	Run  Run
	Kind Kind
	Info *mesos.ExecutorInfo
}

// WriteExecutorState replaces the state of a built-in executor.
type WriteExecutorState struct {
	Run   Run
	State []byte
}

// WriteTask records an accepted task.
type WriteTask struct {
	Run  Run
	Info *mesos.TaskInfo
}

// WriteUpdate appends an update to a task's stream. Latest is the status as it will
// be sent.
type WriteUpdate struct {
	Run    Run
	Task   TaskID
	Status *mesos.TaskStatus
}

// WriteAcknowledged appends an acknowledgement to a task's stream.
type WriteAcknowledged struct {
	Run  Run
	Task TaskID
	UUID []byte
}

// RemoveTask forgets a task whose terminal update was acknowledged, and all of it.
type RemoveTask struct {
	Run  Run
	Task TaskID
}

// CompleteTask forgets a task whose terminal update was acknowledged, and keeps what is listed of it
// for as long as its run is there.
type CompleteTask struct {
	Run  Run
	Task *mesos.Task
	// Kept, unless nil, is all that is to be kept of the run's completed tasks, this one included: older
	// ones go.
	Kept []*mesos.Task
}

// WriteCause records why the agent ends a run, before it does.
type WriteCause struct {
	Run   Run
	Cause *Cause
}

// Cause is what tasks are told when their executor is ended by the agent. Without a State they
// have FAILED.
type Cause struct {
	Reason  mesos.TaskStatus_Reason
	Message string
	State   mesos.TaskState
}

// WriteEnded marks a run whose container is gone; its tasks may still have updates.
type WriteEnded struct{ Run Run }

// RemoveExecutor forgets a run with all its tasks.
type RemoveExecutor struct{ Run Run }

// WriteCompleted keeps what is listed of a run that RemoveExecutor is about to forget.
type WriteCompleted struct{ Completed *CompletedExecutor }

// ForgetCompleted ends that.
type ForgetCompleted struct{ Container containerizer.ID }

// RemoveFramework forgets a framework that has no run left.
type RemoveFramework struct{ Framework FrameworkID }

func (WriteAgent) write()         {}
func (WriteResources) write()     {}
func (WriteDrain) write()         {}
func (WriteFramework) write()     {}
func (WriteExecutor) write()      {}
func (WriteExecutorState) write() {}
func (WriteTask) write()          {}
func (WriteUpdate) write()        {}
func (WriteAcknowledged) write()  {}
func (RemoveTask) write()         {}
func (CompleteTask) write()       {}
func (WriteCause) write()         {}
func (WriteEnded) write()         {}
func (RemoveExecutor) write()     {}
func (WriteCompleted) write()     {}
func (ForgetCompleted) write()    {}
func (RemoveFramework) write()    {}

// State is what all writes amount to: what a restarted agent begins with. Lists are
// sorted by identifier.
type State struct {
	// Rebooted says that the machine was started anew since the writes: no
	// container can have survived.
	Rebooted   bool
	Agent      *mesos.AgentInfo
	Resources  []*mesos.Resource
	Operations []*mesos.Operation
	Drain      *mesos.DrainConfig
	Frameworks []FrameworkState
	// Completed are the executors that are only listed, oldest first.
	Completed []*CompletedExecutor
}

// CompletedExecutor is one completed executor of a State.
type CompletedExecutor struct {
	Run       Run
	Kind      Kind
	Framework *mesos.FrameworkInfo
	Info      *mesos.ExecutorInfo
	Tasks     []*mesos.Task
	At        time.Time
}

// FrameworkState is one framework of a State.
type FrameworkState struct {
	Info      *mesos.FrameworkInfo
	Executors []ExecutorState
}

// ExecutorState is one run of a State.
type ExecutorState struct {
	Run   Run
	Kind  Kind
	Info  *mesos.ExecutorInfo
	Core  []byte // the last WriteExecutorState; nil for none
	Ended bool
	Cause *Cause // nil for none
	Tasks []TaskState
	// Completed are the tasks that have been, oldest first; some of them may be too old to be listed.
	Completed []*mesos.Task
}

// TaskState is one task of a State.
type TaskState struct {
	Info *mesos.TaskInfo
	// Updates in the order of their writing; an update that was acknowledged
	// carries it.
	Updates []UpdateState
}

// UpdateState is one update of a TaskState.
type UpdateState struct {
	Status       *mesos.TaskStatus
	Acknowledged bool
}

// Apply carries out writes on an in-memory State: the meaning of each Write, which
// the checkpoint on disk must have too. The simulation uses it as its disk.
func (s *State) Apply(writes ...Write) {
	for _, w := range writes {
		s.apply(w)
	}
}
