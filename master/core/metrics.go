package core

import "agora.dev/agora/api/mesos/v1"

// states bounds arrays that are indexed by mesos.TaskState.
const states = 14

// callTypes and eventTypes bound arrays that are indexed by scheduler.Call_Type and
// scheduler.Event_Type.
const (
	callTypes  = 18
	eventTypes = 12
)

// Counters are the leader's totals since it was elected.
type Counters struct {
	// Calls counts scheduler calls by type, SUBSCRIBE included.
	Calls [callTypes]uint64
	// Terminal counts tasks by the terminal state that they reached; see Frameworks' views
	// for those that have not.
	Terminal [states]uint64
	// Reasons counts tasks by terminal state, source and reason.
	Reasons map[TaskEnd]uint64

	AgentRegistrations   uint64
	AgentReregistrations uint64
	AgentRemovals        uint64
	AgentsReplaced       uint64 // removals, for an agent came anew from the same address
	AgentsUnregistered   uint64 // removals, for the agent said goodbye
	// UnreachableScheduled counts agents that were marked unreachable, AgentsUnreachable those of which
	// every framework was told, UnreachableCanceled those that came back before.
	UnreachableScheduled uint64
	AgentsUnreachable    uint64
	UnreachableCanceled  uint64
	RecoveryRemovals     uint64

	ValidStatusUpdates         uint64
	InvalidStatusUpdates       uint64
	ValidAcknowledgements      uint64
	InvalidAcknowledgements    uint64
	ValidMessagesToExecutor    uint64
	InvalidMessagesToExecutor  uint64
	ValidMessagesToFramework   uint64
	InvalidMessagesToFramework uint64
	ExitedExecutors            uint64
	DroppedMessages            uint64
	// AgentUpdates are changes of what an agent has, Resubscriptions returns of frameworks.
	AgentUpdates    uint64
	Resubscriptions uint64

	// Operations counts operations by what they are and how they stand.
	Operations                       OperationCounters
	ValidOperationUpdates            uint64
	InvalidOperationUpdates          uint64
	ValidOperationAcknowledgements   uint64
	InvalidOperationAcknowledgements uint64
}

// OperationCounters is indexed by mesos.Offer_Operation_Type and mesos.OperationState.
type OperationCounters [15][10]uint64

func (n *OperationCounters) count(kind mesos.Offer_Operation_Type, state mesos.OperationState) {
	if kind >= 0 && int(kind) < len(n) && state >= 0 && int(state) < len(n[kind]) {
		n[kind][state]++
	}
}

// move counts an operation in another state.
func (n *OperationCounters) move(kind mesos.Offer_Operation_Type, from, to mesos.OperationState) {
	n.count(kind, to)
	if kind >= 0 && int(kind) < len(n) && from >= 0 && int(from) < len(n[kind]) && n[kind][from] > 0 {
		n[kind][from]--
	}
}

// TaskEnd is how a task ended.
type TaskEnd struct {
	State  mesos.TaskState
	Source mesos.TaskStatus_Source
	Reason mesos.TaskStatus_Reason // -1: none
}

// FrameworkCounters are one framework's totals.
type FrameworkCounters struct {
	Calls    [callTypes]uint64
	Events   [eventTypes]uint64
	Terminal [states]uint64
	// Operations are those that were valid, by type; each task of a LAUNCH counts.
	Operations      [15]uint64
	OffersSent      uint64
	OffersAccepted  uint64
	OffersDeclined  uint64
	OffersRescinded uint64
}

// count adds an operation that is carried out.
func (n *FrameworkCounters) count(kind mesos.Offer_Operation_Type) {
	if kind >= 0 && int(kind) < len(n.Operations) {
		n.Operations[kind]++
	}
}
