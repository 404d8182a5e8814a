package core

import "agora.dev/agora/master/registry"

// operatorCall carries out what an operator wants.
func (c *Core) operatorCall(e OperatorCall) {
	switch call := e.Call.(type) {
	case Teardown:
		f := c.frameworks[call.Framework]
		if f == nil {
			c.answer(e.Request, 400, "No framework found with specified ID")
			return
		}
		c.removeFramework(f)
		c.answer(e.Request, 200, "")
	case MarkGone:
		c.markGone(e.Request, call.Agent)
	case DeactivateAgent:
		c.setDeactivated(e.Request, call.Agent, true)
	case ReactivateAgent:
		if !c.registry.Deactivated[string(call.Agent)] {
			c.answer(e.Request, 400, "Agent is not deactivated")
			return
		}
		c.setDeactivated(e.Request, call.Agent, false)
	case UpdateWeights:
		c.updateWeights(e.Request, call)
	default:
		c.quotaCall(e.Request, call)
	}
}

// setDeactivated stops or starts the offers of an agent, whatever state it is in.
func (c *Core) setDeactivated(request RequestID, id AgentID, deactivated bool) {
	if c.agents[id] == nil && c.recovered[id] == nil && c.lost[id] == nil {
		c.answer(request, 400, "Unknown agent")
		return
	}
	c.persist(registry.SetDeactivated{ID: string(id), Deactivated: deactivated}, func() {
		if deactivated {
			c.registry.Deactivated[string(id)] = true
		} else {
			delete(c.registry.Deactivated, string(id))
		}
		if a := c.agents[id]; a != nil {
			c.applyDeactivated(a, deactivated)
		}
		c.answer(request, 200, "")
	})
}

func (c *Core) applyDeactivated(a *agent, deactivated bool) {
	a.rec.Deactivated = deactivated
	a.rec.Active = a.link != nil && !deactivated
	c.touchAgent(a)
	if a.rec.Active {
		c.allocatorActivateAgent(a)
		return
	}
	c.allocatorDeactivateAgent(a)
	c.rescindOffers(a)
}
