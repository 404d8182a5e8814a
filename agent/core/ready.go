package core

import (
	"syscall"
	"time"

	"agora.dev/agora/agent/containerizer"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
)

// Ready is what a step yields: Persist is carried out, in order, before the first of
// Send leaves.
type Ready struct {
	Persist []Write
	Send    []Send
	// Wake is when the core wants a Tick next; zero: never.
	Wake time.Time
	// Notes are facts worth a log line.
	Notes []Note
}

// Note is a constant text with its facts as slog attributes (key, value, …).
type Note struct {
	Debug bool
	Text  string
	Facts []any
}

// Send is a message or a command. The set is closed.
type Send interface{ send() }

// ToMaster goes to the master over the open link.
type ToMaster struct {
	Link    LinkID
	Message *link.FromAgent
}

// Connect asks for a connection to the leading master; the answer is LinkOpened, or
// LinkClosed with Link 0.
type Connect struct{}

// Disconnect closes a link. No LinkClosed need follow.
type Disconnect struct{ Link LinkID }

// ToExecutor is an event for an executor's stream.
type ToExecutor struct {
	Connection ConnectionID
	Event      *execapi.Event
}

// CloseExecutor ends an executor's stream after what was sent to it.
type CloseExecutor struct{ Connection ConnectionID }

// Reply answers an ExecutorSubscribed or ExecutorCall. Err is one of this package's
// classes, or nil.
type Reply struct {
	Request RequestID
	Err     error
}

// LaunchContainer makes the sandbox (Spec.Sandbox, owned by Spec.User), fetches
// Spec.Command's URIs into it and launches. The answer is ContainerLaunched or
// ContainerLaunchFailed, and after the former some day ContainerTerminated.
type LaunchContainer struct {
	Executor ExecutorKey
	Task     TaskID // the task that runs in it; empty for an executor of its own
	Spec     containerizer.Spec
}

// SignalContainer sends a signal to a container's processes.
type SignalContainer struct {
	ID     containerizer.ID
	Signal syscall.Signal
}

// DestroyContainer kills a container, or cancels its launch. It may come again.
type DestroyContainer struct{ ID containerizer.ID }

// RemoveContainer forgets an ended container.
type RemoveContainer struct{ ID containerizer.ID }

// UpdateContainer changes requests and limits.
type UpdateContainer struct {
	ID        containerizer.ID
	Resources []*mesos.Resource
	Limits    map[string]float64
}

// ForgetSandbox says that an executor's sandbox is no longer listed and may be
// collected after the usual delay.
type ForgetSandbox struct {
	Executor  ExecutorKey
	Container containerizer.ID
	Sandbox   string
	// AtOnce asks for its removal without the delay: a task had RemoveSandboxLabel.
	AtOnce bool
}

// RemoveSandboxLabel on a task asks for the removal of its sandbox as soon as its last
// update is acknowledged (agora run --rm).
const RemoveSandboxLabel = "AGORA_REMOVE_SANDBOX"

// OpenRelay gives the leading master a connection over which it passes requests on.
type OpenRelay struct {
	Token string
	// Principal sent the request that waits; empty: the master asked nobody.
	Principal string
}

// Exit ends the agent. Err is nil when that was asked for.
type Exit struct{ Err error }

func (ToMaster) send()         {}
func (Connect) send()          {}
func (Disconnect) send()       {}
func (ToExecutor) send()       {}
func (CloseExecutor) send()    {}
func (Reply) send()            {}
func (LaunchContainer) send()  {}
func (SignalContainer) send()  {}
func (DestroyContainer) send() {}
func (RemoveContainer) send()  {}
func (UpdateContainer) send()  {}
func (ForgetSandbox) send()    {}
func (OpenRelay) send()        {}
func (Exit) send()             {}
