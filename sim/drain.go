package sim

import (
	"fmt"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// drain empties an agent, waits until the leader says DRAINED, and lets it come back, unless it
// was to be gone.
func (o *operator) drain(a *agentNode) {
	id := core.AgentID(a.disk.state.Agent.GetId().GetValue())
	if id == "" || o.busy[id] {
		return
	}
	o.busy[id] = true
	command := core.DrainAgent{Agent: id, MarkGone: o.w.chance(0.15)}
	if o.w.chance(0.5) {
		command.MaxGracePeriod = ptr(o.w.upTo(10 * time.Second))
	}
	o.insist(command, func(status int) {
		if status != 200 {
			delete(o.busy, id)
			return
		}
		o.deactivated[id], o.draining[id] = true, true
		o.awaitDrained(id)
	})
}

// awaitDrained looks every second how far the drain is.
func (o *operator) awaitDrained(id core.AgentID) {
	o.w.after(time.Second, func() {
		m := o.w.leader()
		if m == nil {
			o.awaitDrained(id)
			return
		}
		snapshot := m.core.Snapshot()
		if snapshot.GoneAgents.Find(func(a *core.UnreachableAgent) bool { return a.ID == id }) != nil {
			o.gone[id] = true
			o.release(id)
			return
		}
		agent := snapshot.Agents.Find(func(a *core.Agent) bool { return a.ID == id })
		if agent == nil || agent.Drain.GetState() != mesos.DrainState_DRAINED {
			o.awaitDrained(id)
			return
		}
		o.w.after(o.w.upTo(30*time.Second), func() { o.reactivate(id) })
	})
}

// reactivate ends a drain; from the call on the agent may be offered.
func (o *operator) reactivate(id core.AgentID) {
	delete(o.deactivated, id)
	delete(o.draining, id)
	o.insist(core.ReactivateAgent{Agent: id}, func(int) { o.release(id) })
}

func (o *operator) release(id core.AgentID) {
	delete(o.deactivated, id)
	delete(o.draining, id)
	delete(o.busy, id)
}

// checkDrains holds the leader to the drains that were acknowledged: none is forgotten, and nothing
// runs where it says DRAINED (invariant 6).
func (o *operator) checkDrains(snapshot *core.Snapshot) error {
	for _, view := range []core.View[core.Agent]{snapshot.Agents, snapshot.RecoveredAgents} {
		for agent := range view.All() {
			if o.draining[agent.ID] && agent.Drain == nil {
				return fmt.Errorf("invariant 6: the drain of agent %s is forgotten", agent.ID)
			}
			if agent.Drain.GetState() != mesos.DrainState_DRAINED {
				continue
			}
			if x := o.w.runningOn(agent.ID); x != nil {
				return fmt.Errorf("invariant 6: agent %s is drained, and runs container %s", agent.ID, x.id)
			}
		}
	}
	return nil
}

// runningOn gives a container that runs on the machine of an agent.
func (w *world) runningOn(id core.AgentID) *container {
	for _, a := range w.agents {
		if a.disk.state.Agent.GetId().GetValue() != string(id) {
			continue
		}
		for _, x := range a.containers.all {
			if x.running {
				return x
			}
		}
	}
	return nil
}
