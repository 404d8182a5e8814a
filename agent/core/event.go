// Package core decides what an agent does: which frameworks, executors and tasks it
// has, what it tells the leading master, when an executor is started or given up.
//
// It promises that nothing is said or started before the writes that it depends on
// (Ready.Persist), that every task it accepted ends with a terminal update that is
// retried until acknowledged, and that the same events give the same results. It
// refuses I/O, clocks, goroutines and logs: see package agent for the shell.
package core

import (
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"

	"agora.dev/agora/agent/containerizer"
	link "agora.dev/agora/api/agora/link/v1"
)

// FrameworkID, ExecutorID and TaskID are the values of the protocol's messages.
type (
	FrameworkID string
	ExecutorID  string
	TaskID      string
)

// ExecutorKey names an executor of this agent.
type ExecutorKey struct {
	Framework FrameworkID
	Executor  ExecutorID
}

// TaskKey names a task of this agent.
type TaskKey struct {
	Framework FrameworkID
	Task      TaskID
}

// LinkID counts the connections to masters; the shell never uses one twice.
type LinkID uint64

// ConnectionID names one SUBSCRIBE stream of an executor; never 0, never used twice.
type ConnectionID uint64

// RequestID names a call that waits for a Reply.
type RequestID uint64

// Event is what happens to the core. The set is closed.
type Event interface{ event() }

// Recovered is the first event: what was on disk, and what the containerizer found.
type Recovered struct {
	State      *State // nil or empty for a first start
	Containers []containerizer.Recovered
}

// LinkOpened says that the leading master was reached.
type LinkOpened struct{ Link LinkID }

// LinkClosed says that a connection ended, or (Link 0) that a Connect failed.
type LinkClosed struct {
	Link   LinkID
	Reason string
}

// LeaderChanged says that another master leads (or none, or the same again after a
// while): the link is of no more use.
type LeaderChanged struct{}

// FromMaster is a message that came over a link.
type FromMaster struct {
	Link    LinkID
	Message *link.FromMaster
}

// ExecutorSubscribed is a SUBSCRIBE call over HTTP. The core answers with a Reply and,
// when that has no error, with events ToExecutor on the connection.
type ExecutorSubscribed struct {
	Request    RequestID
	Connection ConnectionID
	Key        ExecutorKey
	Subscribe  *execapi.Call_Subscribe
}

// ExecutorDisconnected says that a stream ended.
type ExecutorDisconnected struct {
	Connection ConnectionID
	Key        ExecutorKey
}

// ExecutorCall is any other call over HTTP.
type ExecutorCall struct {
	Request RequestID
	Call    *execapi.Call
}

// ContainerLaunched says that a LaunchContainer has executed its command.
type ContainerLaunched struct {
	ID     containerizer.ID
	PID    int
	Status *mesos.ContainerStatus // may be nil
}

// ContainerLaunchFailed says that a LaunchContainer came to nothing. Message is one
// line, fit for a user.
type ContainerLaunchFailed struct {
	ID      containerizer.ID
	Message string
}

// ContainerNotSignalled says that a SignalContainer failed.
type ContainerNotSignalled struct{ ID containerizer.ID }

// ContainerNotUpdated says that an UpdateContainer failed for a container that runs. Message is
// one line, fit for a user.
type ContainerNotUpdated struct {
	ID      containerizer.ID
	Message string
}

// ContainerTerminated says that a launched or recovered container ended.
type ContainerTerminated struct {
	ID          containerizer.ID
	Termination containerizer.Termination
}

// ShutDown asks the agent to end: with Tasks, everything that runs is killed and the
// master is told goodbye; without, containers stay for the next agent.
type ShutDown struct{ Tasks bool }

// Tick is the passing of time.
type Tick struct{}

func (Recovered) event()             {}
func (LinkOpened) event()            {}
func (LinkClosed) event()            {}
func (LeaderChanged) event()         {}
func (FromMaster) event()            {}
func (ExecutorSubscribed) event()    {}
func (ExecutorDisconnected) event()  {}
func (ExecutorCall) event()          {}
func (ContainerLaunched) event()     {}
func (ContainerLaunchFailed) event() {}
func (ContainerTerminated) event()   {}
func (ContainerNotSignalled) event() {}
func (ContainerNotUpdated) event()   {}
func (ShutDown) event()              {}
func (Tick) event()                  {}
