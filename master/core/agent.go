package core

import (
	"fmt"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
)

// agentLink is one connection of an agent, registered or not.
type agentLink struct {
	id        LinkID
	ip        string
	principal string
	agent     *agent // nil until it is registered
	// registering: a registry write for this link is under way.
	registering bool
}

// agent is one registered agent. rec is what snapshots publish copies of.
type agent struct {
	id    AgentID
	rec   Agent
	slot  int
	dirty bool

	link       *agentLink // nil while disconnected
	removed    bool       // the allocator has forgotten it
	offering   bool       // the allocator offers it
	generation uint64     // of its addition to the allocator
	ping       *timer
	reregister *timer
	sequence   uint64
	missed     int
	reviewing  bool             // is among the core's reviews
	ask        bool             // frameworks are to get inverse offers
	empty      bool             // said that it drains and that nothing is left
	drainedOf  *mesos.DrainInfo // the drain whose end is being written down
	// resourceVersion is what the agent said last; launches repeat it.
	resourceVersion []byte

	unavailability *mesos.Unavailability // by the maintenance schedule
	inverse        map[FrameworkID]*inverse

	total, used, offered amounts
	totals               uint64 // counts what the agent announced of its total
	tasks                bag[task]
	offers               bag[offer]
	executors            map[executorKey]*executor
	operations           map[string]*operation // by operation uuid
	// kills are repeated when the agent returns, in the order in which they came;
	// shutdowns are frameworks that ended while it was away.
	kills     []*link.KillTask
	shutdowns []FrameworkID
}

// executorKey names an executor on one agent; taskKey a task anywhere.
type executorKey struct {
	framework FrameworkID
	executor  ExecutorID
}

type taskKey struct {
	framework FrameworkID
	task      TaskID
}

// recoveredAgent is in the registry and has not come back yet.
type recoveredAgent struct {
	rec  *Agent
	slot int
}

// lostAgent is unreachable or gone.
type lostAgent struct {
	at   time.Time
	slot int
}

func (c *Core) addRecovered(rec *Agent) {
	c.recovered[rec.ID] = &recoveredAgent{rec: rec, slot: c.pub.recovered.insert(rec)}
}

func (c *Core) dropRecovered(id AgentID) *Agent {
	r := c.recovered[id]
	if r == nil {
		return nil
	}
	c.pub.recovered.remove(r.slot)
	delete(c.recovered, id)
	return r.rec
}

func (c *Core) addLost(id AgentID, at time.Time) {
	c.lost[id] = &lostAgent{at: at, slot: c.pub.unreachable.insert(&UnreachableAgent{ID: id, At: at})}
}

func (c *Core) dropLost(id AgentID) bool {
	l := c.lost[id]
	if l == nil {
		return false
	}
	c.pub.unreachable.remove(l.slot)
	delete(c.lost, id)
	return true
}

func (c *Core) addGone(id AgentID, at time.Time) {
	c.gone[id] = &lostAgent{at: at, slot: c.pub.gone.insert(&UnreachableAgent{ID: id, At: at})}
}

func (c *Core) dropGone(id AgentID) {
	if g := c.gone[id]; g != nil {
		c.pub.gone.remove(g.slot)
		delete(c.gone, id)
	}
}

// addAgent makes a registered agent without tasks, connected through l.
func (c *Core) addAgent(info *mesos.AgentInfo, l *agentLink) *agent {
	id := AgentID(info.GetId().GetValue())
	a := &agent{
		id:         id,
		rec:        Agent{ID: id, RegisteredAt: c.now, Deactivated: c.registry.Deactivated[string(id)]},
		tasks:      bag[task]{at: func(t *task) *int { return &t.agentIndex }},
		offers:     bag[offer]{at: func(o *offer) *int { return &o.agentIndex }},
		executors:  map[executorKey]*executor{},
		inverse:    map[FrameworkID]*inverse{},
		operations: map[string]*operation{},
	}
	drain := c.registry.Draining[string(id)]
	a.rec.Drain, a.rec.DrainSince = drain.Info, drain.Since
	c.agents[id] = a
	a.slot = c.pub.agents.insert(nil)
	c.attach(a, l)
	return a
}

// attach makes l the agent's link; an older one is cut.
func (c *Core) attach(a *agent, l *agentLink) {
	if old := a.link; old != nil && old != l {
		delete(c.links, old.id)
		c.send(CloseLink{Link: old.id})
	}
	a.link, l.agent = l, a
	a.rec.Connected, a.rec.Active = true, !a.rec.Deactivated
	a.rec.IP = l.ip
	a.missed, a.empty = 0, false
	a.reregister.cancel()
	a.ping.cancel()
	a.ping = c.after(c.cfg.AgentPingTimeout, func() { c.pingAgent(a) })
	c.touchAgent(a)
	c.askInverse(a)
}

// describe takes over what an agent says about itself.
func (c *Core) describe(a *agent, info *mesos.AgentInfo, checkpointed []*mesos.Resource, version string,
	capabilities []*mesos.AgentInfo_Capability, resourceVersion []byte) {
	a.rec.Info, a.rec.Version, a.rec.Capabilities = info, version, capabilities
	a.rec.PID = fmt.Sprintf("slave(1)@%s:%d", a.rec.IP, info.GetPort())
	a.resourceVersion = resourceVersion
	a.totals++
	a.total = agentTotal(info.GetResources(), checkpointed)
	c.byAddress[addressOf(a)] = a
	c.touchAgent(a)
	c.setUnavailability(a)
}

func (a *agent) capable(want mesos.AgentInfo_Capability_Type) bool {
	for _, capability := range a.rec.Capabilities {
		if capability.GetType() == want {
			return true
		}
	}
	return false
}

// pingAgent asks for a sign of life; five unanswered ones make the agent unreachable.
func (c *Core) pingAgent(a *agent) {
	if a.link == nil || c.agents[a.id] != a {
		return
	}
	if a.missed >= c.cfg.MaxAgentPingTimeouts {
		c.note(noteWarn, "agent does not answer pings", "agent", a.id)
		c.markUnreachable(a)
		return
	}
	a.missed++
	a.sequence++
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_Ping{
		Ping: &link.Ping{Connected: ptr(true), Sequence: ptr(a.sequence)}}})
	a.ping = c.after(c.cfg.AgentPingTimeout, func() { c.pingAgent(a) })
}

// linkClosed handles the loss of a link: no offers until the agent returns, and it is
// given up when it does not.
func (c *Core) linkClosed(id LinkID) {
	l := c.links[id]
	if l == nil {
		return
	}
	delete(c.links, id)
	if l.agent != nil && l.agent.link == l {
		c.disconnectAgent(l.agent)
	}
}

func (c *Core) disconnectAgent(a *agent) {
	a.link = nil
	a.ping.cancel()
	a.rec.Connected, a.rec.Active = false, false
	c.touchAgent(a)
	c.allocatorSetOffering(a)
	c.rescindOffers(a)
	c.rescindInverse(a)
	a.reregister = c.after(c.cfg.AgentReregisterTimeout, func() {
		c.note(noteWarn, "agent did not return in time", "agent", a.id)
		c.markUnreachable(a)
	})
	c.note(noteInfo, "agent disconnected", "agent", a.id)
}

// agentMessage sorts what an agent says.
func (c *Core) agentMessage(e AgentMessage) {
	l := c.links[e.Link]
	if l == nil {
		return
	}
	switch m := e.Message.GetMessage().(type) {
	case *link.FromAgent_Register:
		c.register(l, m.Register)
		return
	case *link.FromAgent_Reregister:
		c.reregister(l, m.Reregister)
		return
	}
	a := l.agent
	if a == nil || a.link != l {
		c.pub.counters.DroppedMessages++
		return
	}
	switch m := e.Message.GetMessage().(type) {
	case *link.FromAgent_Pong:
		a.missed = 0
	case *link.FromAgent_StatusUpdate:
		c.statusUpdate(a, m.StatusUpdate)
	case *link.FromAgent_ExitedExecutor:
		c.exitedExecutor(a, m.ExitedExecutor)
	case *link.FromAgent_ExecutorMessage:
		c.executorMessage(a, m.ExecutorMessage)
	case *link.FromAgent_OperationUpdate:
		c.operationUpdate(a, m.OperationUpdate)
	case *link.FromAgent_UpdateAgent:
		c.pub.counters.AgentUpdates++
		c.updateAgent(a, m.UpdateAgent)
	case *link.FromAgent_Drained:
		a.empty = true
		c.touchAgent(a)
	case *link.FromAgent_Unregister:
		c.unregister(a)
	}
}
