package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// operator is a person who calls the leader, and repeats a call until it is answered 200.
type operator struct {
	w *world
	// gone are agents whose MARK_AGENT_GONE was acknowledged; deactivated those whose
	// last acknowledged call was DEACTIVATE_AGENT.
	gone        map[core.AgentID]bool
	deactivated map[core.AgentID]bool
	// busy agents have a call of which the end is not known.
	busy map[core.AgentID]bool
	// draining agents have a DRAIN_AGENT that was acknowledged and are not reactivated yet.
	draining map[core.AgentID]bool
	planner  *planner
}

func newOperator(w *world) *operator {
	o := &operator{w: w, gone: map[core.AgentID]bool{}, deactivated: map[core.AgentID]bool{}, busy: map[core.AgentID]bool{},
		draining: map[core.AgentID]bool{}}
	o.planner = newPlanner(o)
	return o
}

// call asks the leader, if there is one that lives long enough to answer.
func (o *operator) call(command core.OperatorCommand, done func(status int)) {
	m := o.w.leader()
	if m == nil {
		return
	}
	life := m.life
	o.w.after(o.w.latency(), func() {
		if m.life != life {
			return
		}
		o.w.trace("operator", "calls %T", command)
		request := core.RequestID(o.w.id())
		m.answers[request] = func(status int, text string) {
			o.w.trace("operator", "answer %d %s", status, text)
			done(status)
		}
		m.step(core.OperatorCall{Request: request, Call: command})
	})
}

// insist repeats a call until it is answered 200, or refused for good.
func (o *operator) insist(command core.OperatorCommand, done func(status int)) {
	answered := false
	o.call(command, func(status int) {
		if status != 503 {
			answered = true
			done(status)
		}
	})
	o.w.after(5*time.Second, func() {
		if !answered {
			o.insist(command, done)
		}
	})
}

// markGone gives an agent up for ever, whatever state it is in.
func (o *operator) markGone(a *agentNode) {
	id := core.AgentID(a.disk.state.Agent.GetId().GetValue())
	if id == "" || o.busy[id] {
		return
	}
	o.busy[id] = true
	o.insist(core.MarkGone{Agent: id}, func(status int) {
		delete(o.busy, id)
		if status == 200 {
			o.gone[id] = true
		}
	})
}

// pause stops the offers of an agent for a while.
func (o *operator) pause(a *agentNode) {
	id := core.AgentID(a.disk.state.Agent.GetId().GetValue())
	if id == "" || o.busy[id] {
		return
	}
	o.busy[id] = true
	o.insist(core.DeactivateAgent{Agent: id}, func(status int) {
		if status != 200 {
			delete(o.busy, id)
			return
		}
		o.deactivated[id] = true
		o.w.after(o.w.upTo(time.Minute), func() {
			delete(o.deactivated, id)
			o.insist(core.ReactivateAgent{Agent: id}, func(int) { delete(o.busy, id) })
		})
	})
}

// teardown ends a framework, again and again until no master knows it.
func (o *operator) teardown(f *frameworkNode) {
	if f.id == nil || f.removed {
		return
	}
	f.retire()
	o.w.trace("operator", "tears down %s", f.host)
	o.repeatTeardown(core.FrameworkID(f.id.GetValue()))
}

func (o *operator) repeatTeardown(id core.FrameworkID) {
	o.call(core.Teardown{Framework: id}, func(int) {})
	o.w.after(20*time.Second, func() { o.repeatTeardown(id) })
}

// clean marks unreachable agents gone that no machine goes by any more: an agent that lost
// its ID, or never learned it, came back under another one. Nobody else can know that the
// first will not return, so its tasks would stay UNREACHABLE, as they do in Mesos.
func (o *operator) clean() {
	o.w.after(time.Minute, func() {
		if m := o.w.leader(); m != nil {
			here := map[string]bool{}
			for _, a := range o.w.agents {
				here[a.disk.state.Agent.GetId().GetValue()] = true
			}
			for agent := range m.core.Snapshot().UnreachableAgents.All() {
				if !here[string(agent.ID)] {
					o.call(core.MarkGone{Agent: agent.ID}, func(int) {})
				}
			}
		}
		o.clean()
	})
}

// check holds the leader to what was acknowledged, by it or by an earlier one (invariants 6
// and 7).
func (o *operator) check(snapshot *core.Snapshot) error {
	if snapshot.ElectedAt.IsZero() {
		return nil
	}
	gone := map[core.AgentID]bool{}
	for agent := range snapshot.GoneAgents.All() {
		gone[agent.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(o.gone)) {
		if !gone[id] {
			return fmt.Errorf("invariant 6: agent %s was marked gone, and the leader does not know", id)
		}
	}
	for agent := range snapshot.Agents.All() {
		if o.gone[agent.ID] {
			return fmt.Errorf("invariant 7: agent %s is gone, and registered", agent.ID)
		}
		if o.deactivated[agent.ID] && agent.Active {
			return fmt.Errorf("invariant 6: agent %s was deactivated, and is active", agent.ID)
		}
	}
	for offer := range snapshot.Offers.All() {
		if id := core.AgentID(offer.Info.GetAgentId().GetValue()); o.deactivated[id] || o.gone[id] {
			return fmt.Errorf("invariant 7: agent %s is deactivated or gone, and offered", id)
		}
	}
	if err := o.checkDrains(snapshot); err != nil {
		return err
	}
	return o.planner.check(snapshot)
}

// reserve turns a little disk of an agent into a framework's, or back, if there is enough of it.
func (o *operator) reserve(a *agentNode, f *frameworkNode) {
	id := core.AgentID(a.disk.state.Agent.GetId().GetValue())
	if id == "" {
		return
	}
	list := []*mesos.Resource{(&keeper{f: f}).disk(7, "")}
	op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: list}}
	if o.w.chance(0.5) {
		op = &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: list}}
	}
	o.call(core.OperateAgent{Agent: id, Operation: op}, func(status int) {
		if status != 202 && status != 400 && status != 409 && status != 503 {
			o.w.fail("an operator's %v is answered %d", op.GetType(), status)
		}
	})
}
