package core

import (
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/secrets"
	"agora.dev/agora/internal/planted"
)

// task is one task on a registered agent. rec is immutable; every change makes a new one.
type task struct {
	id         TaskID
	framework  *framework
	agent      *agent
	rec        *Task
	slot       int
	agentIndex int
	resources  amounts
	// released: the allocator has the resources back.
	released bool
	// missing: its agent does not have it, and will say so.
	missing bool
}

// unreachableTask is a task whose agent was given up.
type unreachableTask struct {
	agent AgentID
	rec   *Task
	slot  int
}

// Terminal says whether a task in this state will never run again.
func Terminal(s mesos.TaskState) bool {
	switch s {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_KILLED,
		mesos.TaskState_TASK_ERROR, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_DROPPED,
		mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

// addTask puts a task on an agent's and a framework's books; rec was never seen by others. The allocator must know of its
// resources already, or learn of them with the agent.
func (c *Core) addTask(f *framework, a *agent, rec *Task) *task {
	shape := c.shapes.of(rec.Base.GetResources())
	rec.Base.Resources = shape.resources
	rec.shareIDs(f, a)
	t := &task{
		id:        TaskID(rec.Base.GetTaskId().GetValue()),
		framework: f,
		agent:     a,
		rec:       rec,
		resources: shape.sum,
		released:  Terminal(rec.State) || rec.State == mesos.TaskState_TASK_UNREACHABLE,
	}
	f.tasks[t.id] = t
	t.slot = f.taskTable.insert(rec)
	a.tasks.add(t)
	if !t.released {
		a.used = a.used.plus(t.resources)
	}
	c.touchFramework(f)
	c.touchAgent(a)
	c.askInverseOn(f, a)
	return t
}

// replaceTask publishes a changed record.
func (c *Core) replaceTask(t *task, rec *Task) {
	t.rec = rec
	t.framework.taskTable.set(t.slot, rec)
	c.touchFramework(t.framework)
}

// release gives the task's resources back, once.
func (c *Core) release(t *task) {
	if t.released && !planted.Active("master-double-recover") {
		return
	}
	t.released = true
	t.agent.used = t.agent.used.minus(t.resources)
	c.touchAgent(t.agent)
	c.allocatorRecover(t.framework.id, t.agent.id, t.resources, nil)
}

// endTask makes a task terminal for a reason that the master has.
func (c *Core) endTask(t *task, status *mesos.TaskStatus) {
	c.applyStatus(t, status, status.GetState())
}

// removeTask takes a task off the books and into the framework's history.
func (c *Core) removeTask(t *task) {
	if !t.released {
		c.release(t)
	}
	f := t.framework
	delete(f.tasks, t.id)
	f.taskTable.remove(t.slot)
	t.agent.tasks.remove(t)
	t.agent.dropKill(taskKey{f.id, t.id})
	f.completed.add(t.rec)
	c.touchFramework(f)
	c.touchAgent(t.agent)
}

// rememberUnreachable moves a task to the bounded list of unreachable ones.
func (c *Core) rememberUnreachable(t *task) {
	f := t.framework
	if !t.released {
		c.release(t)
	}
	delete(f.tasks, t.id)
	f.taskTable.remove(t.slot)
	t.agent.tasks.remove(t)
	c.touchFramework(f)
	if len(f.unreachable) >= c.cfg.MaxUnreachableTasksPerFramework {
		c.dropOldestUnreachable(f)
	}
	f.unreachable[t.id] = &unreachableTask{agent: t.agent.id, rec: t.rec, slot: f.unreachableTask.insert(t.rec)}
	f.unreachableFIFO = append(f.unreachableFIFO, t.id)
}

func (c *Core) dropOldestUnreachable(f *framework) {
	for len(f.unreachableFIFO) > 0 {
		id := f.unreachableFIFO[0]
		f.unreachableFIFO = f.unreachableFIFO[1:]
		if f.unreachable[id] != nil {
			c.forgetUnreachable(f, id)
			return
		}
	}
}

func (c *Core) forgetUnreachable(f *framework, id TaskID) {
	u := f.unreachable[id]
	if u == nil {
		return
	}
	f.unreachableTask.remove(u.slot)
	delete(f.unreachable, id)
	c.touchFramework(f)
}

// recordOf splits a task as agents send it into its fixed and its changing part.
func recordOf(t *mesos.Task) *Task {
	base := &mesos.Task{
		Name: t.Name, TaskId: t.TaskId, FrameworkId: t.FrameworkId, ExecutorId: t.ExecutorId, AgentId: t.AgentId,
		Resources: t.Resources, Labels: t.Labels, Discovery: t.Discovery, Container: secrets.WithoutContainer(t.Container), User: t.User,
		HealthCheck: secrets.WithoutHealthCheck(t.HealthCheck), KillPolicy: t.KillPolicy, Limits: t.Limits,
	}
	rec := &Task{Base: base, State: t.GetState(), StatusUpdateState: t.GetStatusUpdateState(),
		StatusUpdateUUID: t.GetStatusUpdateUuid(), Statuses: t.GetStatuses()}
	if t.StatusUpdateState == nil {
		rec.StatusUpdateState = rec.State
	}
	return rec
}

// newRecord is the record of a task that is being launched.
func newRecord(f *framework, info *mesos.TaskInfo, executor *mesos.ExecutorInfo) *Task {
	base := &mesos.Task{
		Name: info.Name, TaskId: info.TaskId, FrameworkId: frameworkID(f.id), AgentId: info.AgentId,
		Resources: info.Resources, Labels: info.Labels, Discovery: info.Discovery, Container: secrets.WithoutContainer(info.Container),
		HealthCheck: secrets.WithoutHealthCheck(info.HealthCheck), KillPolicy: info.KillPolicy, Limits: info.Limits,
	}
	command := info.Command
	if executor != nil {
		base.ExecutorId = executor.ExecutorId
		command = executor.Command
	}
	if command != nil && command.User != nil {
		base.User = command.User
	}
	return &Task{Base: base, State: mesos.TaskState_TASK_STAGING, StatusUpdateState: mesos.TaskState_TASK_STAGING}
}
