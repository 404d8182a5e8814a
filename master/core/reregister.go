package core

import (
	"slices"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
)

// readmit adds an agent that the master does not have registered, with its tasks. A reason
// tells the frameworks that their tasks came back from an unreachable agent.
func (c *Core) readmit(l *agentLink, m *link.Reregister, reason string) {
	id := AgentID(m.GetAgent().GetId().GetValue())
	known := c.dropRecovered(id)
	a := c.addAgent(m.GetAgent(), l)
	if known != nil {
		a.rec.RegisteredAt = known.RegisteredAt
	}
	c.describe(a, m.GetAgent(), m.GetCheckpointedResources(), m.GetVersion(), m.GetCapabilities(), m.GetResourceVersion())
	c.adopt(a, m)
	c.reregistered(a, nil)
	c.allocatorAddAgent(a)
	if reason != "" {
		for _, t := range a.tasks.items {
			if !Terminal(t.rec.State) {
				c.forward(t.framework, c.masterStatus(t, t.rec.State, mesos.TaskStatus_REASON_AGENT_REREGISTERED, reason))
			}
		}
	}
	c.afterReturn(a)
	c.send(OperatorEvent{Type: AgentAdded, Agent: a.publish()})
	c.note(noteInfo, "agent re-registered", "agent", a.id, "tasks", len(a.tasks.items))
}

// reconnect takes back an agent that was never given up.
func (c *Core) reconnect(a *agent, l *agentLink, m *link.Reregister) {
	before := a.total
	c.rescindOffers(a)
	c.attach(a, l)
	c.describe(a, m.GetAgent(), m.GetCheckpointedResources(), m.GetVersion(), m.GetCapabilities(), m.GetResourceVersion())
	missing := c.missingTasks(a, m)
	if planted.Active("master-forget-missing-tasks") {
		missing = nil
	}
	c.dropMissingExecutors(a, m)
	c.dropMissingOperations(a, m.GetOperations())
	if c.adopt(a, m) {
		// The allocator cannot be told of single allocations that it did not make.
		c.allocatorRemoveAgent(a)
		c.allocatorAddAgent(a)
	} else {
		if !a.total.equal(before) {
			c.allocatorUpdateAgent(a)
		}
		if a.rec.Active {
			c.allocatorSetOffering(a)
		}
	}
	c.reregistered(a, missing)
	c.afterReturn(a)
	c.note(noteInfo, "agent reconnected", "agent", a.id, "tasks", len(a.tasks.items), "missing", len(missing))
}

// reregistered answers an agent; it will report on each missing task.
func (c *Core) reregistered(a *agent, missing []*link.ReconcileTask) {
	a.rec.ReregisteredAt = c.now
	c.pub.counters.AgentReregistrations++
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_Reregistered{Reregistered: &link.Reregistered{
		AgentId:            agentID(a.id),
		Master:             c.cfg.Master,
		PingTimeoutSeconds: ptr(c.pingTimeout()),
		Reconcile:          missing,
		DrainConfig:        c.drainConfig(a.id),
	}}})
}

// missingTasks are those that the agent should have and did not list: they use nothing there. A
// terminal one whose end is acknowledged can be forgotten by both at different times, so it is let go here.
func (c *Core) missingTasks(a *agent, m *link.Reregister) []*link.ReconcileTask {
	listed := make(map[taskKey]bool, len(m.GetTasks()))
	for _, t := range m.GetTasks() {
		listed[taskKey{FrameworkID(t.GetFrameworkId().GetValue()), TaskID(t.GetTaskId().GetValue())}] = true
	}
	var missing []*link.ReconcileTask
	var ended []*task
	for _, t := range a.tasks.items {
		switch {
		case listed[taskKey{t.framework.id, t.id}]:
		case Terminal(t.rec.State):
			ended = append(ended, t)
		default:
			missing = append(missing, &link.ReconcileTask{FrameworkId: frameworkID(t.framework.id), TaskId: taskID(t.id)})
			t.missing = true
			c.release(t)
		}
	}
	for _, t := range ended {
		c.removeTask(t)
	}
	return missing
}

func (c *Core) dropMissingExecutors(a *agent, m *link.Reregister) {
	listed := make(map[executorKey]bool, len(m.GetExecutors()))
	for _, e := range m.GetExecutors() {
		listed[executorKey{FrameworkID(e.GetFrameworkId().GetValue()), ExecutorID(e.GetExecutorId().GetValue())}] = true
	}
	for _, e := range a.executorsInOrder() {
		if !listed[executorKey{e.framework.id, e.id}] && !planted.Active("master-keep-missing-executors") {
			c.removeExecutor(e)
		}
	}
}

// adopt adds frameworks, executors, tasks and operations that the master does not know. It says
// whether that changed what is used on the agent.
func (c *Core) adopt(a *agent, m *link.Reregister) (changed bool) {
	for _, info := range m.GetFrameworks() {
		id := FrameworkID(info.GetId().GetValue())
		switch {
		case c.removed[id]:
			if !slices.Contains(a.shutdowns, id) {
				a.shutdowns = append(a.shutdowns, id)
			}
		case c.frameworks[id] == nil && id != "":
			c.recoverFramework(id, info)
		}
	}
	for _, info := range m.GetExecutors() {
		f := c.frameworks[FrameworkID(info.GetFrameworkId().GetValue())]
		if f != nil && a.executors[executorKey{f.id, ExecutorID(info.GetExecutorId().GetValue())}] == nil {
			c.addExecutor(f, a, info)
			changed = true
		}
	}
	for _, t := range m.GetTasks() {
		changed = c.adoptTask(a, t) || changed
	}
	for _, completed := range m.GetCompletedFrameworks() {
		c.adoptCompleted(completed)
	}
	for _, op := range m.GetOperations() {
		c.adoptOperation(a, op)
	}
	return changed
}

// recoverFramework adds a framework that only an agent told of. It has no stream and no timer.
func (c *Core) recoverFramework(id FrameworkID, info *mesos.FrameworkInfo) {
	f := c.addFramework(id, info)
	f.rec.Recovered = true
	c.allocatorAddFramework(f)
	c.send(OperatorEvent{Type: FrameworkAdded, Framework: f.publish()})
	c.note(noteInfo, "framework recovered", "framework", id)
}

// adoptTask adds a task, or takes over the newer state of a known one.
func (c *Core) adoptTask(a *agent, reported *mesos.Task) (changed bool) {
	f := c.frameworks[FrameworkID(reported.GetFrameworkId().GetValue())]
	if f == nil {
		return false
	}
	id := TaskID(reported.GetTaskId().GetValue())
	if t := f.tasks[id]; t != nil {
		switch {
		case t.agent == a:
			c.takeState(t, reported)
		case !Terminal(reported.GetState()):
			c.note(noteWarn, "task runs on two agents; the newcomer is killed", "task", id, "agent", a.id)
			a.rememberKill(&link.KillTask{FrameworkId: frameworkID(f.id), TaskId: taskID(id)})
		}
		return false
	}
	c.forgetUnreachable(f, id)
	rec := recordOf(reported)
	t := c.addTask(f, a, rec)
	c.send(OperatorEvent{Type: TaskAdded, Task: t.rec, Owner: t.framework.rec.Info})
	return !t.released
}

// takeState follows what a returning agent says of a task that both know.
func (c *Core) takeState(t *task, reported *mesos.Task) {
	if Terminal(t.rec.State) {
		return
	}
	rec := *t.rec
	rec.State = reported.GetState()
	rec.StatusUpdateState, rec.StatusUpdateUUID = rec.State, nil
	if reported.StatusUpdateState != nil {
		rec.StatusUpdateState, rec.StatusUpdateUUID = reported.GetStatusUpdateState(), reported.GetStatusUpdateUuid()
	}
	if len(reported.GetStatuses()) > 0 {
		rec.Statuses = reported.GetStatuses()
	}
	was := t.rec.State
	c.replaceTask(t, &rec)
	if Terminal(rec.State) {
		c.release(t)
		c.countEnd(t, mesos.TaskStatus_SOURCE_AGENT, -1)
	}
	if rec.State != was && !planted.Active("master-silent-return") {
		// The agent's own update of it may be the one that is known already.
		c.send(OperatorEvent{Type: TaskUpdated, Task: t.rec, Owner: t.framework.rec.Info})
	}
}

// adoptCompleted remembers ended tasks of a framework that is still known.
func (c *Core) adoptCompleted(completed *link.CompletedFramework) {
	f := c.frameworks[FrameworkID(completed.GetFramework().GetId().GetValue())]
	if f == nil || len(f.tasks) > 0 || f.completed.end > 0 {
		return
	}
	for _, t := range completed.GetTasks() {
		rec := recordOf(t)
		rec.Base.Resources = c.shapes.of(rec.Base.Resources).resources
		f.completed.add(rec)
	}
	c.touchFramework(f)
}

// afterReturn repeats what the agent missed: ended frameworks, changed infos, kills.
func (c *Core) afterReturn(a *agent) {
	for _, id := range a.shutdowns {
		c.toAgent(a, shutdownFramework(id))
	}
	a.shutdowns = nil
	kills := a.kills
	if planted.Active("master-forget-kill") {
		kills = nil
	}
	for _, kill := range kills {
		c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_KillTask{KillTask: kill}})
	}
	for _, f := range c.frameworksOn(a) {
		if !f.rec.Recovered {
			c.toAgent(a, updateFramework(f))
		}
	}
}

// frameworksOn lists the frameworks with a task or executor on the agent, by id.
func (c *Core) frameworksOn(a *agent) []*framework {
	found := map[FrameworkID]*framework{}
	for _, t := range a.tasks.items {
		found[t.framework.id] = t.framework
	}
	for key, e := range a.executors {
		found[key.framework] = e.framework
	}
	list := make([]*framework, 0, len(found))
	for _, id := range sortedKeys(found) {
		list = append(list, found[id])
	}
	return list
}

func updateFramework(f *framework) *link.FromMaster {
	return &link.FromMaster{Message: &link.FromMaster_UpdateFramework{
		UpdateFramework: &link.UpdateFramework{Framework: f.rec.Info}}}
}
