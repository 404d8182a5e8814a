package core

import (
	"fmt"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/registry"
)

// Refusals of the calls that drain, deactivate and reactivate.
const (
	agentUnknown        = "Unknown agent"
	agentNotDeactivated = "Agent is not deactivated"
	agentStillDraining  = "Agent is still in the DRAINING state"
	agentLeaving        = "Agent is being marked gone or removed"
	graceNegative       = "'max_grace_period' is negative"
)

// DrainAgent kills what runs on an agent and keeps new tasks away, whatever state the agent is
// in: 200; 400 when it is not known, cannot drain or is in a maintenance schedule; 409 while it
// is being removed.
type DrainAgent struct {
	Agent AgentID
	// MaxGracePeriod bounds the grace period of each task; nil leaves them as they are.
	MaxGracePeriod *time.Duration
	// MarkGone marks the agent gone once it is drained.
	MarkGone bool
}

func (DrainAgent) isOperatorCommand() {}

// drainAgent carries out DRAIN_AGENT. A repeated call replaces the configuration and begins anew.
func (c *Core) drainAgent(request RequestID, call DrainAgent) {
	if status, text := c.checkDrain(call); status != 0 {
		c.answer(request, status, text)
		return
	}
	config := &mesos.DrainConfig{MarkGone: ptr(call.MarkGone)}
	if call.MaxGracePeriod != nil {
		config.MaxGracePeriod = &mesos.DurationInfo{Nanoseconds: ptr(int64(*call.MaxGracePeriod))}
	}
	drain := registry.Drain{Info: &mesos.DrainInfo{State: mesos.DrainState_DRAINING.Enum(), Config: config}, Since: c.now}
	c.persist(registry.SetDrain{ID: string(call.Agent), Drain: drain}, func() {
		c.keepDrain(call.Agent, drain)
		if a := c.agents[call.Agent]; a != nil {
			a.empty = false
			c.toAgent(a, drainMessage(config))
		}
		c.answer(request, 200, "")
		c.note(noteInfo, "agent draining", "agent", call.Agent, "mark_gone", call.MarkGone)
	})
}

func (c *Core) checkDrain(call DrainAgent) (status int, text string) {
	a := c.agents[call.Agent]
	switch {
	case c.leaving[call.Agent]:
		return 409, agentLeaving
	case !c.knows(call.Agent):
		return 400, agentUnknown
	case call.MaxGracePeriod != nil && *call.MaxGracePeriod < 0:
		return 400, graceNegative
	case a != nil && !a.capable(mesos.AgentInfo_Capability_AGENT_DRAINING):
		return 400, "Agent " + string(call.Agent) + " does not have the AGENT_DRAINING capability"
	}
	if machine := c.scheduledMachine(call.Agent); machine != nil {
		return 400, fmt.Sprintf("Agent %s is part of a maintenance schedule under Machine %s (%s)",
			call.Agent, machine.GetId().GetHostname(), machine.GetId().GetIp())
	}
	return 0, ""
}

// knows says whether an agent is admitted or unreachable.
func (c *Core) knows(id AgentID) bool {
	return c.agents[id] != nil || c.recovered[id] != nil || c.lost[id] != nil
}

func drainMessage(config *mesos.DrainConfig) *link.FromMaster {
	return &link.FromMaster{Message: &link.FromMaster_DrainAgent{DrainAgent: &link.DrainAgent{Config: config}}}
}

// drainConfig is what a registering agent is told; nil for no drain.
func (c *Core) drainConfig(id AgentID) *mesos.DrainConfig {
	if planted.Active("master-forget-drain") {
		return nil
	}
	return c.registry.Draining[string(id)].Info.GetConfig()
}

// keepDrain takes over how far a drain is, as the registry has it.
func (c *Core) keepDrain(id AgentID, drain registry.Drain) {
	c.registry.Deactivated[string(id)] = true
	c.registry.Draining[string(id)] = drain
	c.applySettings(id)
}

// applySettings shows an agent as the registry's settings want it, and starts or stops its offers.
func (c *Core) applySettings(id AgentID) {
	deactivated, drain := c.registry.Deactivated[string(id)], c.registry.Draining[string(id)]
	if r := c.recovered[id]; r != nil {
		rec := *r.rec
		rec.Deactivated, rec.Drain, rec.DrainSince = deactivated, drain.Info, drain.Since
		r.rec = &rec
		c.pub.recovered.set(r.slot, r.rec)
	}
	a := c.agents[id]
	if a == nil {
		return
	}
	a.rec.Deactivated, a.rec.Drain, a.rec.DrainSince = deactivated, drain.Info, drain.Since
	a.rec.Active = a.link != nil && !deactivated
	c.touchAgent(a)
	c.allocatorSetOffering(a)
	if a.rec.Active {
		c.askInverse(a)
		return
	}
	c.rescindOffers(a)
	c.rescindInverse(a)
}

// forgetSettings drops what the registry no longer holds of an agent that is gone for good.
func (c *Core) forgetSettings(id AgentID) {
	delete(c.registry.Deactivated, string(id))
	delete(c.registry.Draining, string(id))
}

// reviewLater lets an agent be looked at, at the end of the step: within it, its books may be halfway.
func (c *Core) reviewLater(a *agent) {
	if !a.reviewing {
		a.reviewing = true
		c.reviews = append(c.reviews, a)
	}
}

// review looks at agents that changed and are more than ordinary: those that drain, whose
// machine is in the maintenance schedule, or that may be full of executors.
func (c *Core) review() {
	asked := map[FrameworkID]*scheduler.Event_InverseOffers{}
	for i := 0; i < len(c.reviews); i++ { // reviewing may bring more
		a := c.reviews[i]
		a.reviewing = false
		if c.agents[a.id] == a {
			c.reviewOffering(a)
			c.reviewMachine(a)
			c.reviewDrain(a)
			c.reviewInverse(a, asked)
		}
	}
	c.sendInverse(asked)
	c.reviews = c.reviews[:0]
}

// reviewDrain ends a drain when nothing is left on the agent, by its word and by the books: no
// executor, no operation, no task, not even an ended one whose last update has no acknowledgement.
func (c *Core) reviewDrain(a *agent) {
	drain := c.registry.Draining[string(a.id)]
	if drain.Info.GetState() != mesos.DrainState_DRAINING || a.link == nil || c.moving[a.id] || a.drainedOf == drain.Info {
		return
	}
	empty := a.empty || planted.Active("master-drained-by-books")
	if !empty || len(a.tasks.items) > 0 || len(a.executors) > 0 || len(a.operations) > 0 {
		return
	}
	a.drainedOf = drain.Info
	if drain.Info.GetConfig().GetMarkGone() {
		c.note(noteInfo, "agent drained", "agent", a.id)
		c.markGone(0, a.id)
		return
	}
	drained := registry.Drain{Since: drain.Since, Info: &mesos.DrainInfo{State: mesos.DrainState_DRAINED.Enum(), Config: drain.Info.Config}}
	c.persist(registry.SetDrain{ID: string(a.id), Drain: drained}, func() {
		c.keepDrain(a.id, drained)
		c.note(noteInfo, "agent drained", "agent", a.id)
	})
}

// deactivate carries out DEACTIVATE_AGENT.
func (c *Core) deactivate(request RequestID, id AgentID) {
	switch {
	case c.leaving[id]:
		c.answer(request, 409, agentLeaving)
		return
	case !c.knows(id):
		c.answer(request, 400, agentUnknown)
		return
	}
	c.persist(registry.SetDeactivated{ID: string(id), Deactivated: true}, func() {
		c.registry.Deactivated[string(id)] = true
		c.applySettings(id)
		c.answer(request, 200, "")
	})
}

// reactivate carries out REACTIVATE_AGENT. An agent that is away is reactivated, too: it hears of
// it when it returns.
func (c *Core) reactivate(request RequestID, id AgentID) {
	switch {
	case c.leaving[id]:
		c.answer(request, 409, agentLeaving)
		return
	case !c.registry.Deactivated[string(id)] || !c.knows(id):
		c.answer(request, 400, agentNotDeactivated)
		return
	case c.registry.Draining[string(id)].Info.GetState() == mesos.DrainState_DRAINING:
		c.answer(request, 400, agentStillDraining)
		return
	}
	c.persist(registry.SetDeactivated{ID: string(id)}, func() {
		_, drained := c.registry.Draining[string(id)]
		c.forgetSettings(id)
		c.applySettings(id)
		if a := c.agents[id]; a != nil && drained {
			c.toAgent(a, drainMessage(nil))
		}
		c.answer(request, 200, "")
	})
}
