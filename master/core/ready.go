package core

import (
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// Ready is what one Step wants done. Its slices belong to the core and are valid until
// the next Step.
type Ready struct {
	// Persist are registry writes; each comes back as RegistryDone. What depends on a
	// write is not in this Ready but in that of its completion.
	Persist []Persist
	// Send are messages to others, in order. Order between different receivers
	// has no meaning, except that Operator events follow the order of changes.
	Send []Message
	// Wake is when the core wants a Tick; zero: not before another event.
	Wake time.Time
	// Notes are facts worth a line in the log.
	Notes []Note
}

// Persist is one registry write.
type Persist struct {
	ID PersistID
	Op registry.Op
}

// Message is one thing to send. The set is closed, all values: ToScheduler, CloseConn, ToAgent, CloseLink,
// ToAllocator, Answer, OperatorEvent.
type Message interface{ isMessage() }

// ToScheduler puts an event on a framework's stream.
type ToScheduler struct {
	Conn  ConnID
	Event *scheduler.Event
}

// CloseConn ends a stream after what was sent before it. The edge need not report it by
// ConnClosed, and may.
type CloseConn struct {
	Conn ConnID
}

// ToAgent puts a message on a link.
type ToAgent struct {
	Link    LinkID
	Message *link.FromMaster
}

// CloseLink ends a link after what was sent before it. The edge need not report it by
// AgentLinkClosed, and may.
type CloseLink struct {
	Link LinkID
}

// ToAllocator is a command of the allocator.
type ToAllocator struct {
	Event AllocatorEvent
}

// Answer ends a request.
type Answer struct {
	Request RequestID
	// Status is an HTTP status code; Text is the whole body, empty for success.
	Status int
	Text   string
}

func (ToScheduler) isMessage()   {}
func (CloseConn) isMessage()     {}
func (ToAgent) isMessage()       {}
func (CloseLink) isMessage()     {}
func (ToAllocator) isMessage()   {}
func (Answer) isMessage()        {}
func (OperatorEvent) isMessage() {}

// OperatorEventType says what changed.
type OperatorEventType uint8

// The changes that subscribers of the operator API hear of.
const (
	TaskAdded OperatorEventType = iota + 1
	TaskUpdated
	AgentAdded
	AgentRemoved
	FrameworkAdded
	FrameworkUpdated
	FrameworkRemoved
)

// OperatorEvent is one change for subscribers of the operator API. Records are immutable; the
// shell makes a master.Event of it, by Proto, only when somebody listens.
type OperatorEvent struct {
	Type OperatorEventType
	// Task is set for TaskAdded and TaskUpdated; Status is the one that came, with its data.
	Task   *Task
	Status *mesos.TaskStatus
	// Owner is the framework of Task, as it was then.
	Owner *mesos.FrameworkInfo
	// Framework is set for Framework*; Agent for Agent*.
	Framework *Framework
	Agent     *Agent
}

// Note is a fact worth a line in the log.
type Note struct {
	// Level follows log/slog: Debug -4, Info 0, Warn 4, Error 8.
	Level int
	// Text is constant, such as "agent admitted"; Attrs are key, value, key, value.
	Text  string
	Attrs []any
	// StepDown says that this core must not go on: its master lost what made it leader.
	StepDown bool
	// Refusal is set when the note is for the audit log instead.
	Refusal *Refusal
}

// Refusal says who was not allowed what.
type Refusal struct{ Principal, What, Reason string }
