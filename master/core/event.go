package core

import (
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// Identifiers that the protocol knows.
type (
	FrameworkID string
	AgentID     string
	OfferID     string
	TaskID      string
	ExecutorID  string
)

// ConnID names one scheduler stream (one SUBSCRIBE request). Zero names none. The edge
// never uses a value twice.
type ConnID uint64

// LinkID names one connection of an agent. Zero names none. The edge never uses a value twice.
type LinkID uint64

// RequestID names a caller that waits for an Answer. Zero: nobody waits.
type RequestID uint64

// PersistID names one registry write of a Ready.
type PersistID uint64

// Event is something that happened outside the core. The set is closed.
type Event interface{ isEvent() }

// Elected opens the term of this master: the registry has been read. Before it, every call is
// answered 503, every stream is closed, and every agent is told to try again.
type Elected struct {
	Contents *registry.Contents
}

// FrameworkSubscribed is a SUBSCRIBE call that passed validation.Call. The core answers
// on Conn: SUBSCRIBED and HEARTBEAT, or ERROR followed by CloseConn.
type FrameworkSubscribed struct {
	Conn ConnID
	// Call has the framework_info, its id included when the scheduler has one.
	Call *scheduler.Call_Subscribe
	// Principal is the authenticated identity; empty without authentication.
	Principal string
}

// ConnClosed says that a scheduler stream is gone, whoever ended it.
type ConnClosed struct {
	Conn ConnID
}

// SchedulerCall is any call but SUBSCRIBE, decoded, and valid by validation.Call.
type SchedulerCall struct {
	// Request, when not zero, gets exactly one Answer: 202 (200 for
	// UPDATE_FRAMEWORK), or the refusal.
	Request RequestID
	// Conn is the stream that the call's Mesos-Stream-Id names; zero when it names none
	// that is open. StreamID is the header's text, for the refusal.
	Conn      ConnID
	StreamID  string
	Principal string
	Call      *scheduler.Call
}

// AgentLinkOpened says that an agent connected. It says nothing of who it is before it
// registers.
type AgentLinkOpened struct {
	Link LinkID
	// IP is the peer's address without port; it becomes part of the agent's pid and url.
	IP string
	// Principal is the authenticated identity; empty without authentication.
	Principal string
}

// AgentLinkClosed says that the link is gone, whoever ended it.
type AgentLinkClosed struct {
	Link LinkID
}

// AgentMessage is one message of an agent.
type AgentMessage struct {
	Link    LinkID
	Message *link.FromAgent
}

// Offered carries offers that the allocator made. Their resources count as allocated from
// then on; the core returns every one of them by a recover command.
type Offered struct {
	Offers []AllocatorOffer
}

// RegistryDone is the end of the write ID. With an error nothing was written, and the
// core gives up its term: see Note StepDown.
type RegistryDone struct {
	ID  PersistID
	Err error
}

// OperatorCall is a call of an operator that changes something.
type OperatorCall struct {
	Request   RequestID
	Principal string
	Call      OperatorCommand
}

// OperatorCommand is what an operator wants. The set is closed.
type OperatorCommand interface{ isOperatorCommand() }

// Teardown ends a framework: 200, or 400 when it is not known.
type Teardown struct {
	Framework FrameworkID
}

// MarkGone declares that an agent never comes back: 200 (again and again), 404 when the
// agent is not known, 503 while the agent is in another transition.
type MarkGone struct {
	Agent AgentID
}

// DeactivateAgent stops offers of an agent; ReactivateAgent starts them again.
type (
	DeactivateAgent struct{ Agent AgentID }
	ReactivateAgent struct{ Agent AgentID }
)

// Tick says that time has passed; see Ready.Wake.
type Tick struct{}

func (Elected) isEvent()             {}
func (FrameworkSubscribed) isEvent() {}
func (ConnClosed) isEvent()          {}
func (SchedulerCall) isEvent()       {}
func (AgentLinkOpened) isEvent()     {}
func (AgentLinkClosed) isEvent()     {}
func (AgentMessage) isEvent()        {}
func (Offered) isEvent()             {}
func (RegistryDone) isEvent()        {}
func (OperatorCall) isEvent()        {}
func (Tick) isEvent()                {}

func (Teardown) isOperatorCommand()        {}
func (MarkGone) isOperatorCommand()        {}
func (DeactivateAgent) isOperatorCommand() {}
func (ReactivateAgent) isOperatorCommand() {}

// Config is what a core needs to know. Zero durations and bounds get the defaults of Mesos.
type Config struct {
	// Master describes this master; id, ip, port, hostname, version, address and
	// capabilities are sent to frameworks as they are. Master.Id prefixes all ids.
	Master *mesos.MasterInfo
	// Roles is the whitelist; empty allows every role.
	Roles []string
	// Weights of roles, for a registry that has none (--weights).
	Weights map[string]float64
	// Authorizer says what frameworks and agents may do; nil: everything.
	Authorizer Authorizer
	// RefuseRootSubmissions refuses frameworks of user root.
	RefuseRootSubmissions bool

	HeartbeatInterval      time.Duration // of scheduler streams; 15 s
	AgentPingTimeout       time.Duration // 15 s
	MaxAgentPingTimeouts   int           // 5
	AgentReregisterTimeout time.Duration // 10 min
	OfferTimeout           time.Duration // zero: offers are never rescinded by age

	// RequireAgentDomain refuses agents without a fault domain.
	RequireAgentDomain bool
	// MaxExecutorsPerAgent is how many executors of frameworks an agent may run before it is offered no
	// more; zero sets no bound. Executors that agents make for tasks do not count.
	MaxExecutorsPerAgent int

	// RegistryGCInterval is how often unreachable and gone agents are forgotten that are older than
	// RegistryMaxAgentAge or beyond the newest RegistryMaxAgentCount of their kind.
	RegistryGCInterval    time.Duration // 15 min
	RegistryMaxAgentAge   time.Duration // 2 weeks
	RegistryMaxAgentCount int           // 102400
	// RecoveryAgentRemovalLimit is the part of the registry's agents, from 0 to 1, that may be missing
	// after an election; nil is 1. With more missing the core gives up its term.
	RecoveryAgentRemovalLimit *float64
	// AgentRemovalInterval is the least time between two unreachable agents of which frameworks
	// without PARTITION_AWARE are told; zero sets no limit.
	AgentRemovalInterval time.Duration

	MaxCompletedFrameworks          int // 50
	MaxCompletedTasksPerFramework   int // 1000
	MaxUnreachableTasksPerFramework int // 1000
	MaxRemovedAgents                int // 100000, remembered ids
}
