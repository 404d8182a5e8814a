package core

import (
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// fate is what becomes of the tasks of an agent that the master gives up.
type fate struct {
	// aware is the state that partition-aware frameworks see; others see LOST.
	aware   mesos.TaskState
	reason  mesos.TaskStatus_Reason
	message string
	at      time.Time
	held    *notice // collects what waits for a permit; only for unreachable agents
}

// markUnreachable gives an agent up: in the registry first, so that no later leader
// takes its tasks for running.
func (c *Core) markUnreachable(a *agent) {
	if c.moving[a.id] || c.agents[a.id] != a {
		return
	}
	c.moving[a.id] = true
	at := c.now
	c.silence(a)
	c.persist(registry.MarkUnreachable{ID: string(a.id), At: at}, func() {
		delete(c.moving, a.id)
		if c.agents[a.id] != a {
			return
		}
		held := &notice{agent: a.id}
		c.loseAgent(a, fate{
			held:    held,
			aware:   mesos.TaskState_TASK_UNREACHABLE,
			reason:  mesos.TaskStatus_REASON_AGENT_REMOVED,
			message: "Agent " + a.rec.Info.GetHostname() + " became unreachable",
			at:      at,
		})
		c.addLost(a.id, at)
		c.holdNotice(held)
		c.note(noteWarn, "agent unreachable", "agent", a.id)
	})
}

// silence stops offers of an agent that is about to go, and cuts its link.
func (c *Core) silence(a *agent) {
	a.rec.Connected, a.rec.Active = false, false
	c.touchAgent(a)
	c.allocatorSetOffering(a)
	c.rescindOffers(a)
	c.rescindInverse(a)
	c.cut(a)
	a.reregister.cancel()
}

// cut ends the agent's link, if there is one.
func (c *Core) cut(a *agent) {
	a.ping.cancel()
	if a.link == nil {
		return
	}
	delete(c.links, a.link.id)
	c.send(CloseLink{Link: a.link.id})
	a.link = nil
}

// loseAgent takes an agent out of the books: its tasks are unreachable or ended, its executors
// and operations unknown, and every framework hears of it.
func (c *Core) loseAgent(a *agent, end fate) {
	c.rescindOffers(a)
	c.forgetInverse(a)
	delete(c.awaited, a.id)
	c.cut(a)
	a.reregister.cancel()
	c.allocatorRemoveAgent(a)
	a.removed = true
	for len(a.tasks.items) > 0 {
		c.loseTask(a.tasks.items[len(a.tasks.items)-1], end)
	}
	for _, e := range a.executorsInOrder() {
		c.removeExecutor(e)
	}
	c.loseOperations(a, end.aware)
	delete(c.agents, a.id)
	if key := addressOf(a); c.byAddress[key] == a {
		delete(c.byAddress, key)
	}
	c.pub.agents.remove(a.slot)
	c.tellLost(a.id, end.held != nil)
	c.send(OperatorEvent{Type: AgentRemoved, Agent: a.publish()})
}

// loseTask moves a task to the unreachable ones, or ends it.
func (c *Core) loseTask(t *task, end fate) {
	f := t.framework
	if Terminal(t.rec.State) {
		c.removeTask(t)
		return
	}
	status := c.masterStatus(t, f.lostState(end.aware), end.reason, end.message)
	if end.aware == mesos.TaskState_TASK_UNREACHABLE {
		status.UnreachableTime = timeInfo(end.at)
		c.applyStatus(t, status, status.GetState())
		if end.held != nil && c.limited(f) {
			end.held.updates = append(end.held.updates, heldUpdate{f.id, status})
		} else {
			c.forward(f, status)
		}
		c.rememberUnreachable(t)
		return
	}
	if !f.partitionAware {
		status.Reason = mesos.TaskStatus_REASON_AGENT_REMOVED.Enum()
	}
	c.endTask(t, status)
	c.forward(f, status)
	c.removeTask(t)
}

// removeAgent takes out an agent whose registry entry is gone; it must not come back.
func (c *Core) removeAgent(a *agent, message string) {
	if c.agents[a.id] != a {
		return
	}
	c.pub.counters.AgentRemovals++
	c.forgotten.add(a.id)
	c.forgetSettings(a.id)
	c.loseAgent(a, fate{
		aware:   mesos.TaskState_TASK_GONE,
		reason:  mesos.TaskStatus_REASON_AGENT_REMOVED,
		message: message,
	})
	c.note(noteInfo, "agent removed", "agent", a.id, "reason", message)
}

// unregister handles an agent's goodbye.
func (c *Core) unregister(a *agent) {
	if c.moving[a.id] {
		return
	}
	c.moving[a.id], c.leaving[a.id] = true, true
	c.silence(a)
	c.persist(registry.Remove{ID: string(a.id)}, func() {
		delete(c.moving, a.id)
		delete(c.leaving, a.id)
		c.pub.counters.AgentsUnregistered++
		c.removeAgent(a, "Agent "+a.rec.Info.GetHostname()+" unregistered")
	})
}

// recoveryTimeout gives up the agents that did not return after the election.
func (c *Core) recoveryTimeout() {
	var missing []AgentID
	for _, id := range sortedKeys(c.recovered) {
		if !c.recovered[id].rec.RegisteredAt.After(c.electedAt) { // others have timers of their own
			missing = append(missing, id)
		}
	}
	if !c.checkRecovery(missing) {
		return
	}
	for _, id := range missing {
		c.recoveredUnreachable(id)
	}
}

func (c *Core) recoveredUnreachable(id AgentID) {
	if c.moving[id] || c.recovered[id] == nil {
		return
	}
	c.moving[id] = true
	at := c.now
	c.persist(registry.MarkUnreachable{ID: string(id), At: at}, func() {
		delete(c.moving, id)
		if c.dropRecovered(id) == nil {
			return
		}
		c.pub.counters.RecoveryRemovals++
		c.addLost(id, at)
		c.tellLost(id, true)
		c.holdNotice(&notice{agent: id})
		c.note(noteWarn, "agent did not return after the election", "agent", id)
	})
}

// tellLost tells every framework that an agent is lost; with held set, those whose notice waits for a
// permit hear of it then.
func (c *Core) tellLost(id AgentID, held bool) {
	for rec := range c.pub.frameworks.each() {
		if f := c.frameworks[rec.ID]; !held || !c.limited(f) {
			c.toFramework(f, failure(id, "", nil))
		}
	}
}

func failure(agent AgentID, executor ExecutorID, status *int32) *scheduler.Event {
	f := &scheduler.Event_Failure{AgentId: agentID(agent), Status: status}
	if executor != "" {
		f.ExecutorId = executorID(executor)
	}
	return &scheduler.Event{Type: scheduler.Event_FAILURE.Enum(), Failure: f}
}

// markGone carries out MARK_AGENT_GONE.
func (c *Core) markGone(request RequestID, id AgentID) {
	a := c.agents[id]
	switch {
	case c.gone[id] != nil:
		c.answer(request, 200, "")
		return
	case c.moving[id]:
		c.answer(request, 503, "Agent "+string(id)+" is in another transition; try again")
		return
	case a == nil && c.recovered[id] == nil && c.lost[id] == nil:
		c.answer(request, 404, "Agent '"+string(id)+"' not found")
		return
	}
	c.moving[id], c.leaving[id] = true, true
	at := c.now
	c.persist(registry.MarkGone{ID: string(id), At: at}, func() {
		delete(c.moving, id)
		delete(c.leaving, id)
		c.forgetSettings(id)
		if c.dropRecovered(id) != nil {
			c.tellLost(id, false) // its tasks are not known here: who has some reconciles
		}
		if c.dropLost(id) {
			c.flushNotice(id)
		}
		c.addGone(id, at)
		if a != nil && c.agents[id] == a {
			c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_ShutdownAgent{
				ShutdownAgent: &link.ShutdownAgent{Message: ptr(agentGone)}}})
			c.loseAgent(a, fate{
				aware:   mesos.TaskState_TASK_GONE_BY_OPERATOR,
				reason:  mesos.TaskStatus_REASON_AGENT_REMOVED_BY_OPERATOR,
				message: "Agent " + a.rec.Info.GetHostname() + " marked gone",
			})
		}
		c.answer(request, 200, "")
		c.note(noteInfo, "agent gone", "agent", id)
	})
}
