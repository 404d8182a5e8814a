package sim

import (
	"maps"
	"slices"
	"time"

	"agora.dev/agora/agent/containerizer"
	agentcore "agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor/checks"
)

// containers are the containers of one machine. They outlive its agent.
type containers struct {
	a   *agentNode
	all map[containerizer.ID]*container
}

// container is one of them.
type container struct {
	id       containerizer.ID
	key      agentcore.ExecutorKey
	task     agentcore.TaskID
	holder   bool // the root of a pod: no command
	running  bool
	dying    bool
	stubborn bool // ignores SIGTERM
	// forgotten containers are removed as soon as they have ended.
	forgotten bool
	exit      *timer
	ended     *containerizer.Termination
}

// launch makes a container, or fails to.
func (cs *containers) launch(m agentcore.LaunchContainer) {
	w := cs.a.w
	if cs.all[m.Spec.ID] != nil {
		w.fail("agent %s launches container %s, which exists", cs.a.host, m.Spec.ID)
	}
	c := &container{id: m.Spec.ID, key: m.Executor, task: m.Task, holder: m.Spec.Command == nil, stubborn: w.chance(0.1)}
	cs.all[c.id] = c
	w.trace(cs.a.host, "launches container %s for task %s", c.id, c.task)
	took := time.Millisecond + w.upTo(50*time.Millisecond)
	if w.chance(0.05) {
		took = w.upTo(5 * time.Second) // an image is pulled
	}
	fails := w.chance(0.04) && !w.calm
	life := cs.a.life
	w.after(took, func() {
		if cs.all[c.id] != c {
			return
		}
		if cs.a.life != life {
			// The agent died while the launch was under way: nothing is left of it.
			delete(cs.all, c.id)
			return
		}
		if fails || c.dying {
			delete(cs.all, c.id)
			cs.a.step(agentcore.ContainerLaunchFailed{ID: c.id, Message: "no space left for the root file system"})
			return
		}
		cs.start(c)
	})
}

func (cs *containers) start(c *container) {
	w := cs.a.w
	c.running = true
	w.trace(cs.a.host, "container %s runs", c.id)
	if c.task != "" {
		w.launched++
		w.check.taskStarts(cs.a, c)
	}
	if !c.holder && w.chance(0.4) && !w.calm {
		status := int32(0)
		if w.chance(0.3) {
			status = int32(w.between(1, 3)) << 8
		}
		c.exit = w.after(w.upTo(2*time.Minute), func() { cs.exits(c, containerizer.Termination{Status: &status}) })
		if w.chance(0.05) {
			c.exit.cancel()
			c.exit = w.after(w.upTo(time.Minute), func() {
				cs.exits(c, containerizer.Termination{Status: ptr(int32(9)), State: mesos.TaskState_TASK_FAILED,
					Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY, Message: "memory limit exceeded"})
			})
		}
	}
	cs.a.step(agentcore.ContainerLaunched{ID: c.id, PID: int(w.id())})
}

func (cs *containers) exits(c *container, how containerizer.Termination) {
	if c.ended != nil || !c.running {
		return
	}
	c.exit.cancel()
	c.running = false
	c.ended = &how
	cs.a.w.trace(cs.a.host, "container %s ends", c.id)
	if c.task != "" {
		cs.a.w.check.taskEnds(cs.a, c)
	}
	if c.forgotten {
		delete(cs.all, c.id)
		return
	}
	if cs.a.core != nil {
		cs.a.step(agentcore.ContainerTerminated{ID: c.id, Termination: how})
	}
}

func (cs *containers) signal(id containerizer.ID, signal int) {
	c := cs.all[id]
	if c == nil || !c.running {
		return
	}
	cs.a.w.trace(cs.a.host, "signals %d to container %s", signal, id)
	if signal != 9 && (c.stubborn || c.holder) {
		return
	}
	cs.a.w.after(cs.a.w.upTo(time.Second), func() {
		cs.exits(c, containerizer.Termination{Status: ptr(int32(signal))})
	})
}

// probe answers a health check: mostly well, sometimes late, or not.
func (cs *containers) probe(m agentcore.ProbeContainer) {
	w, life := cs.a.w, cs.a.life
	took, code := w.upTo(200*time.Millisecond), uint32(200)
	if w.chance(0.1) && !w.calm {
		took, code = m.Probe.Timeout, 503
	}
	w.after(took, func() {
		if cs.a.life == life {
			cs.a.step(agentcore.ContainerProbed{ID: m.ID, Report: checks.Report{
				Health: m.Probe.Health, Number: m.Probe.Number, Result: checks.Result{StatusCode: &code},
			}})
		}
	})
}

// destroy kills a container after its children.
func (cs *containers) destroy(id containerizer.ID) {
	c := cs.all[id]
	if c == nil {
		return
	}
	c.dying = true
	cs.a.w.trace(cs.a.host, "destroys container %s", id)
	took := cs.a.w.upTo(20 * time.Millisecond)
	for _, child := range cs.below(id) {
		child.dying = true
		cs.a.w.after(took, func() { cs.exits(child, containerizer.Termination{Status: ptr(int32(9))}) })
	}
	cs.a.w.after(took+time.Millisecond, func() { cs.exits(c, containerizer.Termination{Status: ptr(int32(9))}) })
}

// below lists the containers nested in id, in the order of their names.
func (cs *containers) below(id containerizer.ID) []*container {
	var children []*container
	for _, key := range slices.Sorted(maps.Keys(cs.all)) {
		if parent, nested := key.Parent(); nested && parent == id {
			children = append(children, cs.all[key])
		}
	}
	return children
}

func (cs *containers) remove(id containerizer.ID) {
	cs.a.w.trace(cs.a.host, "removes container %s", id)
	c := cs.all[id]
	if c != nil && c.running {
		if !c.dying {
			cs.a.w.fail("agent %s removes container %s, which is running", cs.a.host, id)
		}
		c.forgotten = true // jobs of one container are carried out in order
		return
	}
	delete(cs.all, id)
}

// agentDied ends launches that were under way.
func (cs *containers) agentDied() {
	maps.DeleteFunc(cs.all, func(_ containerizer.ID, c *container) bool { return !c.running && c.ended == nil })
}

// killAll is what a reboot does.
func (cs *containers) killAll() {
	for _, id := range slices.Sorted(maps.Keys(cs.all)) {
		c := cs.all[id]
		if c.running {
			c.running = false
			c.exit.cancel()
			if c.task != "" {
				cs.a.w.check.taskEnds(cs.a, c)
			}
		}
		delete(cs.all, id)
	}
}

// recover answers what Containerizer.Recover would: what is known lives on, the rest is
// destroyed.
func (cs *containers) recover(state *agentcore.State) []containerizer.Recovered {
	known := map[containerizer.ID]bool{}
	for _, id := range state.Known() {
		known[id] = true
	}
	var found []containerizer.Recovered
	for _, id := range slices.Sorted(maps.Keys(cs.all)) {
		c := cs.all[id]
		if !known[id] {
			if c.running {
				c.running = false
				c.exit.cancel()
				if c.task != "" {
					cs.a.w.check.taskEnds(cs.a, c)
				}
			}
			delete(cs.all, id)
			continue
		}
		found = append(found, containerizer.Recovered{ID: id, PID: 1, Ended: c.ended})
	}
	return found
}
