package core

import (
	"bytes"
	"strings"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/registry"
	"agora.dev/agora/master/validation"
)

// Texts that agents log.
const (
	machineDown     = "Machine is `DOWN`"
	agentGone       = "Agent has been marked gone"
	agentRemoved    = "Agent has been removed"
	agentMoved      = "Agent re-registered with a different hostname"
	agentTransition = "The registry is being told about this agent"
)

// advertise has others told the address that the agent names, if it looks like one; else they are told that of the connection.
func (l *agentLink) advertise(ip string) {
	if ip != "" && len(ip) <= len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") && strings.Trim(ip, "0123456789abcdefABCDEF.:") == "" {
		l.ip = ip
	}
}

// register admits a new agent: first in the registry, then in memory.
func (c *Core) register(l *agentLink, m *link.Register) {
	l.advertise(m.GetAdvertisedIp())
	switch {
	case l.agent != nil:
		c.registered(l.agent)
		return
	case l.registering:
		return
	}
	if problem := c.misplaced(m.GetAgent()); problem != "" {
		c.refuseAgent(l, m.GetAgent(), problem)
		return
	}
	if err := validation.Agent(m.GetAgent()); err != nil {
		c.refuseAgent(l, m.GetAgent(), err.Error())
		return
	}
	if problem := c.authorizeAgent(l, m.GetAgent()); problem != "" {
		c.refuseAgent(l, m.GetAgent(), problem)
		return
	}
	if c.machineDown(l, m.GetAgent()) {
		c.shutDownAgent(l, machineDown)
		return
	}
	if err := registry.Check(registry.Admit{Info: m.GetAgent(), At: c.now}); err != nil {
		c.refuseAgent(l, m.GetAgent(), err.Error())
		return
	}
	c.replaceSameHost(l, m.GetAgent())
	info := m.GetAgent()
	id := c.newAgentID()
	info.Id = agentID(id)
	l.registering = true
	c.persist(registry.Admit{Info: info, At: c.now}, func() {
		l.registering = false
		if c.links[l.id] != l {
			c.persist(registry.Remove{ID: string(id)}, nil) // nobody knows that id
			return
		}
		a := c.addAgent(info, l)
		c.describe(a, info, m.GetCheckpointedResources(), m.GetVersion(), m.GetCapabilities(), m.GetResourceVersion())
		c.pub.counters.AgentRegistrations++
		c.registered(a)
		c.allocatorAddAgent(a)
		c.send(OperatorEvent{Type: AgentAdded, Agent: a.publish()})
		c.note(noteInfo, "agent registered", "agent", a.id, "pid", a.rec.PID)
	})
}

// address tells agents of one host apart.
type address struct {
	ip, hostname string
	port         int32
}

func addressOf(a *agent) address {
	return address{a.rec.IP, a.rec.Info.GetHostname(), a.rec.Info.GetPort()}
}

// replaceSameHost removes the agent that ran at this address before: its successor comes
// without an id, so the work directory with the tasks is gone.
func (c *Core) replaceSameHost(l *agentLink, info *mesos.AgentInfo) {
	old := c.byAddress[address{l.ip, info.GetHostname(), info.GetPort()}]
	if old == nil || old.link != nil || c.moving[old.id] {
		return
	}
	c.moving[old.id], c.leaving[old.id] = true, true
	c.persist(registry.Remove{ID: string(old.id)}, func() {
		delete(c.moving, old.id)
		delete(c.leaving, old.id)
		c.pub.counters.AgentsReplaced++
		c.removeAgent(old, "Agent "+old.rec.Info.GetHostname()+" replaced by a new one at the same address")
	})
}

// registered tells an agent its id.
func (c *Core) registered(a *agent) {
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_Registered{Registered: &link.Registered{
		AgentId:            agentID(a.id),
		Master:             c.cfg.Master,
		PingTimeoutSeconds: ptr(c.pingTimeout()),
	}}})
}

// pingTimeout is how long an agent waits for a ping before it takes the link for dead.
func (c *Core) pingTimeout() float64 {
	return c.cfg.AgentPingTimeout.Seconds() * float64(c.cfg.MaxAgentPingTimeouts)
}

// shutDownAgent tells an agent to end, and cuts it.
func (c *Core) shutDownAgent(l *agentLink, message string) {
	c.send(ToAgent{Link: l.id, Message: &link.FromMaster{Message: &link.FromMaster_ShutdownAgent{
		ShutdownAgent: &link.ShutdownAgent{Message: &message}}}})
	c.send(CloseLink{Link: l.id})
	delete(c.links, l.id)
}

func (c *Core) machineDown(l *agentLink, info *mesos.AgentInfo) bool {
	_, machine := c.machineOf(info.GetHostname(), l.ip)
	return machine.GetMode() == mesos.MachineInfo_DOWN
}

// reregister takes an agent back, with all that it has.
func (c *Core) reregister(l *agentLink, m *link.Reregister) {
	l.advertise(m.GetAdvertisedIp())
	id := AgentID(m.GetAgent().GetId().GetValue())
	switch {
	case l.registering:
		return
	case l.agent != nil && l.agent.id != id:
		c.refuse(l.id, "This link belongs to agent "+string(l.agent.id))
		return
	case l.agent != nil && l.agent.link == l:
		// A repeat, sent before the answer was there: it knows nothing of what was launched since.
		c.reregistered(l.agent, nil)
		return
	case c.gone[id] != nil && !planted.Active("master-readmit-gone"):
		c.shutDownAgent(l, agentGone)
		return
	case c.forgotten.known[id]:
		c.shutDownAgent(l, agentRemoved)
		return
	case c.moving[id]:
		c.refuse(l.id, agentTransition)
		return
	case c.machineDown(l, m.GetAgent()):
		c.refuseDown(l, id)
		return
	}
	if problem := c.misplaced(m.GetAgent()); problem != "" {
		c.refuseAgent(l, m.GetAgent(), problem)
		return
	}
	if err := validation.ReturningAgent(m.GetAgent()); err != nil {
		c.refuseAgent(l, m.GetAgent(), err.Error())
		return
	}
	if problem := c.authorizeAgent(l, m.GetAgent()); problem != "" {
		c.refuseAgent(l, m.GetAgent(), problem)
		return
	}
	if a := c.agents[id]; a != nil {
		c.cameBack(a, l, m)
		return
	}
	if r := c.recovered[id]; r != nil && sameAgent(r.rec.Info, m.GetAgent()) {
		c.readmit(l, m, "")
		return
	}
	c.admitAgain(l, m)
}

// cameBack handles an agent on the books that has a new link.
func (c *Core) cameBack(a *agent, l *agentLink, m *link.Reregister) {
	if a.rec.Info.GetHostname() != m.GetAgent().GetHostname() {
		c.shutDownAgent(l, agentMoved)
		return
	}
	if !sameAgent(a.rec.Info, m.GetAgent()) { // it was reconfigured
		change := registry.Admit{Info: m.GetAgent(), At: a.rec.RegisteredAt}
		if err := registry.Check(change); err != nil {
			c.refuseAgent(l, m.GetAgent(), err.Error())
			return
		}
		c.persist(change, nil)
	}
	c.reconnect(a, l, m)
}

// admitAgain writes an agent down that had been given up, or that is another than it was.
func (c *Core) admitAgain(l *agentLink, m *link.Reregister) {
	id := AgentID(m.GetAgent().GetId().GetValue())
	change := registry.Admit{Info: m.GetAgent(), At: c.now}
	if err := registry.Check(change); err != nil {
		c.refuseAgent(l, m.GetAgent(), err.Error())
		return
	}
	c.moving[id], l.registering = true, true
	reason := ""
	if c.lost[id] != nil {
		reason = "Unreachable agent re-registered"
	}
	c.persist(change, func() {
		delete(c.moving, id)
		l.registering = false
		c.dropLost(id)
		c.cancelNotice(id)
		if c.links[l.id] != l {
			c.addRecoveredLate(m.GetAgent())
			return
		}
		c.readmit(l, m, reason)
	})
}

// addRecoveredLate keeps an agent that was admitted again and lost its link meanwhile: it has
// one re-registration timeout to come back.
func (c *Core) addRecoveredLate(info *mesos.AgentInfo) {
	id := AgentID(info.GetId().GetValue())
	c.dropRecovered(id)
	c.addRecovered(&Agent{ID: id, Info: info, RegisteredAt: c.now})
	c.applySettings(id)
	entry := c.recovered[id]
	c.after(c.cfg.AgentReregisterTimeout, func() {
		if c.recovered[id] == entry {
			c.recoveredUnreachable(id)
		}
	})
}

// sameAgent compares what the registry holds of an agent with what it says; the message has no
// map, so equal messages have equal bytes.
func sameAgent(a, b *mesos.AgentInfo) bool {
	x, errX := a.MarshalVT()
	y, errY := b.MarshalVT()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
