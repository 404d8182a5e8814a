package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// AllocatorEvent is a command for the allocator. The set is closed, and all commands that
// concern one thing must be carried out in order.
type AllocatorEvent interface{ isAllocatorEvent() }

// AllocatorOffer is what the allocator sets aside for a framework. From then on it counts
// as allocated.
type AllocatorOffer struct {
	Framework FrameworkID
	Role      string
	Agent     AgentID
	// Resources must not be changed: the allocator knows them again when they come back.
	Resources []*mesos.Resource
	// Generation repeats that of AllocatorAddAgent: an offer of an agent that was removed
	// and added again meanwhile is void. Zero is not checked.
	Generation uint64
	// QuotaChanges is how many AllocatorSetQuotas had been carried out: an offer that is older than
	// the last one is void.
	QuotaChanges uint64
}

type (
	// AllocatorAddFramework adds a framework, active or not.
	AllocatorAddFramework struct {
		ID          FrameworkID
		Info        *mesos.FrameworkInfo
		Suppressed  []string
		Constraints *scheduler.OfferConstraints
		Active      bool
	}
	// AllocatorUpdateFramework replaces what AddFramework said. Roles that are suppressed no more
	// lose their filters.
	AllocatorUpdateFramework struct {
		ID          FrameworkID
		Info        *mesos.FrameworkInfo
		Suppressed  []string
		Constraints *scheduler.OfferConstraints
	}
	// AllocatorRemoveFramework forgets a framework and whatever it had allocated.
	AllocatorRemoveFramework struct{ ID FrameworkID }
	// AllocatorActivateFramework and AllocatorDeactivateFramework start and stop its offers;
	// stopping forgets its filters.
	AllocatorActivateFramework   struct{ ID FrameworkID }
	AllocatorDeactivateFramework struct{ ID FrameworkID }
	// AllocatorAddAgent adds an agent with what is used on it already.
	AllocatorAddAgent struct {
		ID           AgentID
		Info         *mesos.AgentInfo
		Capabilities []*mesos.AgentInfo_Capability
		Total        []*mesos.Resource
		Used         map[FrameworkID][]*mesos.Resource
		Active       bool
		// Generation tells the additions of one agent apart; offers repeat it.
		Generation uint64
	}
	// AllocatorUpdateAgent replaces the agent's total and capabilities.
	AllocatorUpdateAgent struct {
		ID           AgentID
		Info         *mesos.AgentInfo
		Capabilities []*mesos.AgentInfo_Capability
		Total        []*mesos.Resource
	}
	// AllocatorLendAgent replaces the agent's revocable resources, and leaves the others as the allocator has
	// them: a change of those may be on its way.
	AllocatorLendAgent struct {
		ID        AgentID
		Revocable []*mesos.Resource
	}
	// AllocatorRemoveAgent forgets an agent and whatever was allocated there.
	AllocatorRemoveAgent struct{ ID AgentID }
	// AllocatorActivateAgent and AllocatorDeactivateAgent start and stop offers of an agent.
	AllocatorActivateAgent   struct{ ID AgentID }
	AllocatorDeactivateAgent struct{ ID AgentID }
	// AllocatorSuppress and AllocatorRevive stop and start offers for roles; reviving forgets
	// their filters.
	AllocatorSuppress struct {
		ID    FrameworkID
		Roles []string
	}
	AllocatorRevive struct {
		ID    FrameworkID
		Roles []string
	}
	// AllocatorRecover returns allocated resources. With a refusal above zero they are kept
	// from the framework's role for so long.
	AllocatorRecover struct {
		Framework FrameworkID
		Agent     AgentID
		Resources []*mesos.Resource
		Refusal   time.Duration
	}
	// AllocatorConvert turns allocated resources of a framework into others of the same
	// quantity, in its allocation and in the agent's total.
	AllocatorConvert struct {
		Framework FrameworkID
		Agent     AgentID
		From, To  []*mesos.Resource
	}
	// AllocatorSetWeights and AllocatorSetQuotas take settings over.
	AllocatorSetWeights struct{ Weights map[string]float64 }
	AllocatorSetQuotas  struct{ Quotas map[string]*quota.QuotaConfig }
	// AllocatorSetWhitelist says on which hosts agents may be offered: all, or those named.
	AllocatorSetWhitelist struct {
		Any       bool
		Hostnames []string
	}
	// AllocatorExpectAgents says how many agents may come back after an election.
	AllocatorExpectAgents struct{ Count int }
)

func (AllocatorAddFramework) isAllocatorEvent()        {}
func (AllocatorUpdateFramework) isAllocatorEvent()     {}
func (AllocatorRemoveFramework) isAllocatorEvent()     {}
func (AllocatorActivateFramework) isAllocatorEvent()   {}
func (AllocatorDeactivateFramework) isAllocatorEvent() {}
func (AllocatorAddAgent) isAllocatorEvent()            {}
func (AllocatorUpdateAgent) isAllocatorEvent()         {}
func (AllocatorLendAgent) isAllocatorEvent()           {}
func (AllocatorRemoveAgent) isAllocatorEvent()         {}
func (AllocatorActivateAgent) isAllocatorEvent()       {}
func (AllocatorDeactivateAgent) isAllocatorEvent()     {}
func (AllocatorSuppress) isAllocatorEvent()            {}
func (AllocatorRevive) isAllocatorEvent()              {}
func (AllocatorRecover) isAllocatorEvent()             {}
func (AllocatorConvert) isAllocatorEvent()             {}
func (AllocatorSetWeights) isAllocatorEvent()          {}
func (AllocatorSetQuotas) isAllocatorEvent()           {}
func (AllocatorSetWhitelist) isAllocatorEvent()        {}
func (AllocatorExpectAgents) isAllocatorEvent()        {}
