package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

func (c *Core) allocate(e AllocatorEvent) { c.send(ToAllocator{Event: e}) }

func (c *Core) allocatorSettings() {
	if len(c.registry.Weights) > 0 {
		c.allocate(AllocatorSetWeights{Weights: c.registry.Weights})
	}
	if len(c.registry.Quotas) > 0 {
		c.allocatorSetQuotas(c.registry.Quotas)
	}
	c.allocate(AllocatorExpectAgents{Count: len(c.recovered)})
}

// allocatorSetQuotas counts: offers that were made before are against the old quotas.
func (c *Core) allocatorSetQuotas(quotas map[string]*quota.QuotaConfig) {
	c.quotaChanges++
	c.allocate(AllocatorSetQuotas{Quotas: quotas})
}

func (c *Core) allocatorAddFramework(f *framework) {
	c.allocate(AllocatorAddFramework{ID: f.id, Info: f.rec.Info, Suppressed: f.rec.SuppressedRoles,
		Constraints: f.rec.OfferConstraints, Active: f.rec.Active})
}

func (c *Core) allocatorUpdateFramework(f *framework) {
	c.allocate(AllocatorUpdateFramework{ID: f.id, Info: f.rec.Info, Suppressed: f.rec.SuppressedRoles,
		Constraints: f.rec.OfferConstraints})
}

func (c *Core) allocatorRemoveFramework(f *framework)   { c.allocate(AllocatorRemoveFramework{f.id}) }
func (c *Core) allocatorActivateFramework(f *framework) { c.allocate(AllocatorActivateFramework{f.id}) }
func (c *Core) allocatorDeactivateFramework(f *framework) {
	c.allocate(AllocatorDeactivateFramework{f.id})
}

// allocatorAddAgent tells of an agent with what its tasks and executors use.
func (c *Core) allocatorAddAgent(a *agent) {
	used := map[FrameworkID]amounts{}
	for _, t := range a.tasks.items {
		if !t.released {
			used[t.framework.id] = used[t.framework.id].plus(t.resources)
		}
	}
	for _, e := range a.executorsInOrder() {
		used[e.framework.id] = used[e.framework.id].plus(e.resources)
	}
	messages := make(map[FrameworkID][]*mesos.Resource, len(used))
	for id, sum := range used {
		messages[id] = sum.protos()
	}
	c.nextGeneration++
	a.generation = c.nextGeneration
	a.offering = c.mayOffer(a)
	c.allocate(AllocatorAddAgent{ID: a.id, Info: a.rec.Info, Capabilities: a.rec.Capabilities,
		Total: a.total.protos(), Used: messages, Active: a.offering, Generation: a.generation})
}

func (c *Core) allocatorUpdateAgent(a *agent) {
	c.allocate(AllocatorUpdateAgent{ID: a.id, Info: a.rec.Info, Capabilities: a.rec.Capabilities, Total: a.total.protos()})
}

func (c *Core) allocatorRemoveAgent(a *agent) { c.allocate(AllocatorRemoveAgent{a.id}) }

// allocatorSetOffering starts or stops the offers of an agent, as mayOffer says.
func (c *Core) allocatorSetOffering(a *agent) {
	a.offering = c.mayOffer(a)
	if a.offering {
		c.allocate(AllocatorActivateAgent{a.id})
		return
	}
	c.allocate(AllocatorDeactivateAgent{a.id})
}

// mayOffer says whether an agent is to be offered: it is active, and not full of executors.
func (c *Core) mayOffer(a *agent) bool {
	limit := c.cfg.MaxExecutorsPerAgent
	return a.rec.Active && (limit == 0 || len(a.executors) < limit)
}

// reviewOffering follows the number of an agent's executors.
func (c *Core) reviewOffering(a *agent) {
	if a.offering != c.mayOffer(a) {
		c.allocatorSetOffering(a)
	}
}

func (c *Core) allocatorSuppress(f *framework, roles []string) {
	c.allocate(AllocatorSuppress{ID: f.id, Roles: roles})
}

func (c *Core) allocatorRevive(f *framework, roles []string) {
	c.allocate(AllocatorRevive{ID: f.id, Roles: roles})
}

// allocatorRecover returns resources; nil means without a filter. What a removed framework
// or agent had is gone from the allocator already.
func (c *Core) allocatorRecover(f FrameworkID, id AgentID, resources amounts, refusal *time.Duration) {
	a := c.agents[id]
	if resources.empty() || a == nil || a.removed || c.frameworks[f] == nil {
		return
	}
	e := AllocatorRecover{Framework: f, Agent: id, Resources: resources.protos()}
	if refusal != nil {
		e.Refusal = *refusal
	}
	c.allocate(e)
}

// allocatorReturn returns what was offered as the allocator said it, which spares it reading that.
func (c *Core) allocatorReturn(given AllocatorOffer, refusal time.Duration) {
	a := c.agents[given.Agent]
	if a == nil || a.removed || c.frameworks[given.Framework] == nil {
		return
	}
	c.allocate(AllocatorRecover{Framework: given.Framework, Agent: given.Agent, Resources: given.Resources, Refusal: refusal})
}

func (c *Core) allocatorConvert(f FrameworkID, a AgentID, change conversion) {
	c.allocate(AllocatorConvert{Framework: f, Agent: a, From: change.from.protos(), To: change.to.protos()})
}

// offerParts reads an offer of the allocator; its resources are allocated to the role.
func offerParts(o AllocatorOffer) (FrameworkID, AgentID, string, amounts) {
	inject(o.Resources, o.Role)
	return o.Framework, o.Agent, o.Role, amountsOf(o.Resources)
}
