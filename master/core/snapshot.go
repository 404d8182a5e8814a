package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/allocator"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// Snapshot is the leader's view at one moment. It and everything reachable from it is
// immutable; taking one costs the records that changed since the last one.
type Snapshot struct {
	// Version grows with every snapshot that differs from the one before.
	Version uint64
	// At is the time of the last step that is contained.
	At     time.Time
	Master *mesos.MasterInfo
	// ElectedAt is zero before Elected.
	ElectedAt time.Time
	StartedAt time.Time

	Frameworks          View[Framework]
	CompletedFrameworks View[Framework] // oldest first
	Agents              View[Agent]
	// RecoveredAgents are admitted by the registry and have not come back yet.
	RecoveredAgents   View[Agent]
	UnreachableAgents View[UnreachableAgent]
	Offers            View[Offer]
	Operations        View[Operation]
	GoneAgents        View[UnreachableAgent]
	// Maintenance is nil before Elected.
	Maintenance *Maintenance
	// Weights and Quotas are those that are in force, by role.
	Weights map[string]float64
	Quotas  map[string]*quota.QuotaConfig

	Counters Counters
}

// Framework is one framework.
type Framework struct {
	ID   FrameworkID
	Info *mesos.FrameworkInfo
	// FirstName is the name with which it first came; metrics keep it.
	FirstName string
	// Connected: it has a stream. Active: it gets offers. Recovered: known only from
	// agents since the last failover.
	Connected bool
	Active    bool
	Recovered bool

	RegisteredAt   time.Time
	ReregisteredAt time.Time // zero: never
	UnregisteredAt time.Time // zero unless completed

	SuppressedRoles  []string // sorted
	OfferConstraints *scheduler.OfferConstraints

	// Tasks are those that the agent still has, terminal unacknowledged ones included.
	Tasks            View[Task]
	UnreachableTasks View[Task]
	CompletedTasks   View[Task] // oldest first
	Executors        View[Executor]
	Counters         FrameworkCounters
	// Offers are the last ones that came to an end, oldest first.
	Offers []*EndedOffer
}

// Task is one task. Base holds what never changes.
type Task struct {
	// Base has every field but state, statuses, status_update_state, status_update_uuid.
	Base *mesos.Task
	// State is the newest state known; StatusUpdateState and StatusUpdateUUID are those of the
	// update that was last forwarded, which can be behind.
	State             mesos.TaskState
	StatusUpdateState mesos.TaskState
	StatusUpdateUUID  []byte
	// Statuses are the forwarded ones without data; runs of equal state keep the last.
	Statuses []*mesos.TaskStatus
}

// Executor is one live executor of a framework on an agent.
type Executor struct {
	Agent AgentID
	Info  *mesos.ExecutorInfo
}

// Agent is one admitted agent. Of recovered ones only ID, Info and RegisteredAt are set.
type Agent struct {
	ID           AgentID
	Info         *mesos.AgentInfo
	Version      string
	Capabilities []*mesos.AgentInfo_Capability
	// PID is "slave(1)@IP:PORT".
	PID string
	IP  string
	// Connected: it has a link. Active: its resources are offered. Deactivated: an
	// operator said so.
	Connected   bool
	Active      bool
	Deactivated bool
	Drain       *mesos.DrainInfo
	// DrainSince is when an operator asked for the drain.
	DrainSince time.Time
	// Machine names the one that the agent is on, when it is not UP; see registry.MachineKey.
	Machine string
	// InverseOffers are outstanding; InverseStatuses are what frameworks answered to inverse offers.
	InverseOffers   []*mesos.InverseOffer
	InverseStatuses []*allocator.InverseOfferStatus

	RegisteredAt   time.Time
	ReregisteredAt time.Time // zero: never
	// Total is what the agent has, with reservations and volumes as of now.
	Total []*mesos.Resource
	// Used is allocated to tasks and executors; Offered is in outstanding offers.
	Used    []*mesos.Resource
	Offered []*mesos.Resource
}

// UnreachableAgent is an agent that was given up, and may return; or one that is gone.
type UnreachableAgent struct {
	ID AgentID
	At time.Time
}

// Offer is one outstanding offer.
type Offer struct {
	Info   *mesos.Offer
	SentAt time.Time
}

// Operation is one operation that is not finished or whose end is not acknowledged.
type Operation struct {
	Framework FrameworkID // empty for an operator's
	Info      *mesos.Operation
}
