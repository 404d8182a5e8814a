package sim

import (
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// scheduleFault lets something go wrong, and then the next thing, until the faults end.
func (w *world) scheduleFault() {
	w.after(w.upTo(20*time.Second), func() {
		if w.calm {
			return
		}
		w.fault()
		w.scheduleFault()
	})
}

func (w *world) fault() {
	agent := w.agents[w.rng.IntN(len(w.agents))]
	framework := w.frameworks[w.rng.IntN(len(w.frameworks))]
	switch w.rng.IntN(15) {
	case 0:
		w.crashAgent(agent)
	case 1:
		// The process dies in the middle of writing what a step wants.
		if agent.core != nil {
			agent.disk.crashIn = w.between(1, 12)
			w.restartLater(agent)
		}
	case 2:
		if w.chance(0.3) {
			agent.reboot()
			w.restartLater(agent)
		}
	case 3:
		w.crashMaster()
	case 4:
		framework.crash()
	case 5, 6:
		w.partition(agent.host)
	case 7:
		w.partition(framework.host)
	case 8:
		w.cutSome()
	case 9, 10:
		framework.killSome()
	case 11:
		framework.wanted = w.between(0, 8)
	case 12:
		switch w.rng.IntN(5) {
		case 0:
			w.operator.markGone(agent)
		case 1, 2:
			w.operator.drain(agent)
			if w.chance(0.1) {
				w.operator.teardown(framework) // its tasks die on the agent, off the leader's books
			}
		default:
			w.operator.pause(agent)
		}
	case 13:
		if w.chance(0.1) {
			w.operator.teardown(framework)
		}
	case 14:
		w.operator.planner.maintain(agent.host)
	}
}

func (w *world) crashAgent(a *agentNode) {
	a.crash()
	w.restartLater(a)
}

// restartLater boots an agent again: mostly soon, sometimes after the master gave it up.
func (w *world) restartLater(a *agentNode) {
	d := w.upTo(20 * time.Second)
	if w.chance(0.1) {
		d = time.Minute + w.upTo(12*time.Minute)
	}
	w.after(d, a.boot)
}

// crashMaster kills the leader; the other one leads after a while.
func (w *world) crashMaster() {
	old := w.leader()
	if old == nil {
		return
	}
	old.crash()
	next := w.masters[w.rng.IntN(len(w.masters))]
	w.after(w.upTo(5*time.Second), func() {
		if w.leader() == nil {
			next.lead()
		}
	})
}

// partition blocks a host from the masters, one way or both, for a while.
func (w *world) partition(h host) {
	ways := w.between(1, 3)
	for _, m := range w.masters {
		if ways&1 != 0 {
			w.net.block(h, m.host)
		}
		if ways&2 != 0 {
			w.net.block(m.host, h)
		}
	}
	w.trace(h, "is cut off %d", ways)
	d := w.upTo(20 * time.Second)
	if w.chance(0.2) {
		d = w.upTo(3 * time.Minute)
	}
	w.after(d, func() {
		for _, m := range w.masters {
			delete(w.net.blocked, [2]host{h, m.host})
			delete(w.net.blocked, [2]host{m.host, h})
		}
		w.trace(h, "is back")
	})
}

// cutSome breaks some connections.
func (w *world) cutSome() {
	for _, c := range w.net.conns {
		if !c.broken && w.chance(0.3) {
			c.cut()
		}
	}
}

// calmDown ends the faults: everything is alive and connected from now on.
func (w *world) calmDown() {
	w.calm = true
	w.trace("world", "calms down")
	w.net.heal()
	w.operator.clean()
	for _, a := range w.agents {
		a.disk.crashIn = 0
		if a.core == nil {
			w.after(w.upTo(time.Second), a.boot)
		}
	}
	if w.leader() == nil {
		w.masters[0].lead()
	}
	for _, f := range w.frameworks {
		if !f.removed {
			f.wanted = max(1, f.wanted)
		}
		f.killLoop()
	}
}

// leads reports whether the leader of a term leads still.
func (w *world) leads(token uint64) bool {
	m := w.leader()
	return m != nil && m.token == token
}

// killLoop repeats kills that nobody is bound to carry out any more.
func (f *frameworkNode) killLoop() {
	f.w.after(10*time.Second, func() {
		for _, id := range f.sorted() {
			// An agent that said KILLING goes on by itself.
			if t := f.tasks[id]; t.killed && !ended(t.state) && t.state != mesos.TaskState_TASK_KILLING && !f.w.leads(t.killedBy) {
				f.kill(t)
			}
		}
		f.killLoop()
	})
}
