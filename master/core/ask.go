package core

import (
	"agora.dev/agora/api/mesos/v1"
)

// AllocatorChange asks the allocator to turn free resources of an agent into others, in one step with
// the recovery of others. It answers with an AllocatorAnswer.
type AllocatorChange struct {
	Asked    uint64
	Agent    AgentID
	Recover  []AllocatorRecover
	From, To []*mesos.Resource
}

// AllocatorShare adds to what a framework holds of an agent: shared volumes that one more task
// uses. They stay free for others.
type AllocatorShare struct {
	Framework FrameworkID
	Agent     AgentID
	Resources []*mesos.Resource
}

func (AllocatorChange) isAllocatorEvent() {}
func (AllocatorShare) isAllocatorEvent()  {}

// AllocatorAnswer is the answer to an AllocatorChange. When it is not Done nothing was changed, and
// Free is what was there.
type AllocatorAnswer struct {
	Asked uint64
	Done  bool
	Free  []*mesos.Resource
}

// AllocatorAnswered carries answers of the allocator. An answer comes before the offers that
// were made after it.
type AllocatorAnswered struct {
	Answers []AllocatorAnswer
}

func (AllocatorAnswered) isEvent() {}

// askAllocator changes what is free on an agent. current is false when the agent's total was
// announced anew meanwhile, so that the allocator may have lost the change.
func (c *Core) askAllocator(a *agent, recovered []AllocatorRecover, change conversion, done func(answer AllocatorAnswer, current bool)) {
	c.nextAsked++
	totals := a.totals
	c.asked[c.nextAsked] = func(answer AllocatorAnswer) { done(answer, a.totals == totals) }
	c.allocate(AllocatorChange{Asked: c.nextAsked, Agent: a.id, Recover: recovered, From: change.from.protos(), To: change.to.protos()})
}

func (c *Core) allocatorAnswered(e AllocatorAnswered) {
	for _, answer := range e.Answers {
		if done := c.asked[answer.Asked]; done != nil {
			delete(c.asked, answer.Asked)
			done(answer)
		}
	}
}
