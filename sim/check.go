package sim

import (
	"fmt"
	"maps"
	"slices"

	agentcore "agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// checker holds what must always be true (docs/design/simulation.md numbers it).
type checker struct {
	w *world
	// running is where each task's container runs now.
	running map[string]*agentNode
	// ever is every agent on which a task's container was ever started.
	ever map[string]int
	// accepted are tasks that an agent wrote down.
	accepted map[string]bool
	// acked are tasks whose terminal state was acknowledged.
	acked map[string]bool
	// written are the updates of each task that its agent wrote down, in order; seen is
	// how many of them, from the first, have reached the framework.
	written map[string][]string
	seen    map[string]int
	steps   int
}

func newChecker(w *world) *checker {
	return &checker{w: w, running: map[string]*agentNode{}, ever: map[string]int{}, accepted: map[string]bool{}, acked: map[string]bool{},
		written: map[string][]string{}, seen: map[string]int{}}
}

// taskStarts checks invariant 2: never twice at once, never again after the end was
// acknowledged.
func (c *checker) taskStarts(a *agentNode, x *container) {
	id := string(x.task)
	if other := c.running[id]; other != nil {
		c.w.fail("invariant 2: task %s starts on %s while it runs on %s", id, a.host, other.host)
	}
	if c.acked[id] {
		c.w.fail("invariant 2: task %s starts on %s after its terminal state was acknowledged", id, a.host)
	}
	if c.ever[id]++; c.ever[id] > 1 {
		c.w.fail("invariant 2: task %s is started a second time, on %s", id, a.host)
	}
	c.running[id] = a
}

func (c *checker) taskEnds(_ *agentNode, x *container) { delete(c.running, string(x.task)) }

// update checks invariant 3: what an agent said of an end stays true.
func (c *checker) update(f *frameworkNode, t *simTask, status *mesos.TaskStatus) {
	c.preempted(t, status)
	fromAgent := len(status.GetUuid()) > 0
	if fromAgent {
		c.inOrder(t, status)
	}
	if fromAgent && t.terminal && !ended(status.GetState()) {
		c.w.fail("invariant 3: task %s of %s turns from %v back to %v", t.id, f.host, t.state, status.GetState())
	}
	if fromAgent && ended(status.GetState()) {
		t.terminal = true
		if status.GetState() == mesos.TaskState_TASK_FINISHED && c.running[t.id] != nil {
			c.w.fail("invariant 3: task %s of %s is FINISHED and its container runs", t.id, f.host)
		}
	}
}

// writes notes an update that is on an agent's disk, and that a task is accepted once (invariant 2).
func (c *checker) writes(write agentcore.Write) {
	switch w := write.(type) {
	case agentcore.WriteUpdate:
		id := string(w.Task)
		c.written[id] = append(c.written[id], string(w.Status.GetUuid()))
	case agentcore.WriteTask:
		id := w.Info.GetTaskId().GetValue()
		if c.accepted[id] {
			c.w.fail("invariant 2: task %s is accepted a second time", id)
		}
		c.accepted[id] = true
	}
}

// inOrder checks invariant 3: what a framework gets was written before, and nothing that was
// written earlier is missing. Answers about tasks that an agent does not have are not written.
func (c *checker) inOrder(t *simTask, status *mesos.TaskStatus) {
	switch at := slices.Index(c.written[t.id], string(status.GetUuid())); {
	case at < 0 && !ended(status.GetState()):
		c.w.fail("invariant 3: the agent of task %s has not written %v", t.id, status.GetState())
	case at > c.seen[t.id]:
		c.w.fail("invariant 3: task %s is %v, and update %d of it never came", t.id, status.GetState(), c.seen[t.id]+1)
	case at == c.seen[t.id]:
		c.seen[t.id]++
	}
}

func (c *checker) acknowledged(_ *frameworkNode, t *simTask, status *mesos.TaskStatus) {
	if ended(status.GetState()) {
		c.acked[t.id] = true
	}
}

// master checks invariants 1 and 10 in the leader after one of its steps.
func (c *checker) master(m *masterNode) {
	// The whole state is walked now and then; each step would make the walk quadratic.
	if c.steps++; c.steps%7 != 0 {
		return
	}
	if err := m.core.CheckInvariants(); err != nil {
		c.w.fail("invariant 1, master: %w", err)
	}
	if err := m.allocator.check(); err != nil {
		c.w.fail("invariant 1, allocator: %w", err)
	}
	snapshot := m.core.Snapshot()
	c.offersOfRoles(snapshot)
	if err := m.follower.compare(snapshot); err != nil {
		c.w.fail("invariant 10: %w", err)
	}
	if err := c.w.operator.check(snapshot); err != nil {
		c.w.fail("%w", err)
	}
}

// operatorEvent checks invariants 5, only the leader speaks, and 10, its events tell a
// story without gaps.
func (c *checker) operatorEvent(m *masterNode, event core.OperatorEvent) {
	if m != c.w.leader() {
		c.w.fail("invariant 5: %s has effects and does not lead", m.host)
	}
	if event.Type == core.AgentRemoved {
		c.agentRemoved(event.Agent.ID)
	}
	if err := m.follower.apply(event); err != nil {
		c.w.fail("invariant 10: %w", err)
	}
}

// agentRemoved notes that the leader forgets the kills for an agent that it gives up.
func (c *checker) agentRemoved(id core.AgentID) {
	for _, f := range c.w.frameworks {
		for _, t := range f.tasks {
			if t.agent.GetValue() == string(id) {
				t.killedBy = 0
			}
		}
	}
}

// converged reports whether the cluster has come right.
func (c *checker) converged() bool { return c.disagreement() == nil }

// final checks invariants 4, 9 and 11 when the faults are long over.
func (c *checker) final() {
	if err := c.disagreement(); err != nil {
		c.w.fail("invariant 11: %v after the last fault: %w", c.w.config.Settle, err)
	}
	c.probe()
	m := c.w.leader()
	if err := m.core.CheckInvariants(); err != nil {
		c.w.fail("invariant 1, master: %w", err)
	}
	if err := m.allocator.check(); err != nil {
		c.w.fail("invariant 1, allocator: %w", err)
	}
}

// disagreement is what master, agents and frameworks see differently.
func (c *checker) disagreement() error {
	m := c.w.leader()
	if m == nil {
		return fmt.Errorf("no master leads")
	}
	snapshot := m.core.Snapshot()
	agents := map[string]bool{}
	for agent := range snapshot.Agents.All() {
		if agent.Connected {
			agents[agent.Info.GetHostname()] = true
		}
	}
	for _, a := range c.w.agents {
		if !agents[string(a.host)] {
			return fmt.Errorf("agent %s is not connected to the leader", a.host)
		}
	}
	known := map[string]mesos.TaskState{}
	for framework := range snapshot.Frameworks.All() {
		for task := range framework.Tasks.All() {
			known[task.Base.GetTaskId().GetValue()] = task.State
		}
	}
	for _, f := range c.w.frameworks {
		if err := c.frameworkAgrees(f, known); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		return fmt.Errorf("the master has task %s as %v, and its framework does not", id, known[id])
	}
	for _, id := range slices.Sorted(maps.Keys(c.w.operator.draining)) {
		return fmt.Errorf("the drain of agent %s has not ended", id)
	}
	if err := c.executorsAgree(snapshot); err != nil {
		return err
	}
	if err := c.volumesAgree(snapshot); err != nil {
		return err
	}
	if err := c.lendingAgrees(snapshot); err != nil {
		return err
	}
	return c.leftovers()
}

// executorsAgree compares the pods on the master's books with those of the machines.
func (c *checker) executorsAgree(snapshot *core.Snapshot) error {
	hosts, booked := map[core.AgentID]host{}, map[host]int{}
	for agent := range snapshot.Agents.All() {
		hosts[agent.ID] = host(agent.Info.GetHostname())
	}
	for framework := range snapshot.Frameworks.All() {
		for executor := range framework.Executors.All() {
			booked[hosts[executor.Agent]]++
		}
	}
	for _, a := range c.w.agents {
		pods := 0
		for _, x := range a.containers.all {
			if x.running && x.holder {
				pods++
			}
		}
		if pods != booked[a.host] {
			return fmt.Errorf("%s runs %d pods, and the master has %d executors there", a.host, pods, booked[a.host])
		}
	}
	return nil
}

// frameworkAgrees compares a framework's tasks with the master's and the machines', and
// takes them out of known.
func (c *checker) frameworkAgrees(f *frameworkNode, known map[string]mesos.TaskState) error {
	if !f.removed && f.live() < f.wanted && !c.full() {
		return fmt.Errorf("framework %s has %d tasks, not %d", f.host, f.live(), f.wanted)
	}
	for _, id := range f.sorted() {
		t := f.tasks[id]
		if ended(t.state) {
			if at := c.running[id]; at != nil {
				return fmt.Errorf("task %s is %v for %s, and runs on %s", id, t.state, f.host, at.host)
			}
			continue
		}
		if t.state != mesos.TaskState_TASK_RUNNING {
			return fmt.Errorf("task %s is %v for %s", id, t.state, f.host)
		}
		if known[id] != mesos.TaskState_TASK_RUNNING {
			return fmt.Errorf("task %s is RUNNING for %s, %v for the master", id, f.host, known[id])
		}
		if c.running[id] == nil {
			return fmt.Errorf("task %s is RUNNING for %s and runs nowhere", id, f.host)
		}
		if t.killed {
			return fmt.Errorf("task %s was killed by %s, and runs", id, f.host)
		}
		delete(known, id)
	}
	return nil
}

// full reports whether the cluster can hold no further task.
func (c *checker) full() bool {
	wanted := 0
	for _, f := range c.w.frameworks {
		wanted += max(f.wanted, f.live()) // one that wants less keeps what it has
	}
	return wanted > 5*len(c.w.agents)
}

// leftovers looks for containers that belong to no task.
func (c *checker) leftovers() error {
	tasks := map[string]bool{}
	for _, f := range c.w.frameworks {
		for id, t := range f.tasks {
			if !ended(t.state) {
				tasks[id] = true
			}
		}
	}
	for _, a := range c.w.agents {
		for _, id := range slices.Sorted(maps.Keys(a.containers.all)) {
			x := a.containers.all[id]
			if x.running && x.task != "" && !tasks[string(x.task)] {
				return fmt.Errorf("container %s on %s runs task %s, which nobody wants", id, a.host, x.task)
			}
			if x.running && x.holder && len(a.containers.below(id)) == 0 {
				return fmt.Errorf("container %s on %s holds an empty pod", id, a.host)
			}
			if x.ended != nil {
				return fmt.Errorf("container %s on %s has ended and is not removed", id, a.host)
			}
		}
	}
	return nil
}
