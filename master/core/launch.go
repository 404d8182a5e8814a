package core

import (
	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/validation"
)

const launchWithID = "The 'id' field must not be set in a LAUNCH or LAUNCH_GROUP operation"

// launch handles LAUNCH: each task stands for itself.
func (c *Core) launch(x *acceptance, op *mesos.Offer_Operation) {
	for _, info := range op.GetLaunch().GetTaskInfos() {
		problem, reason := "", mesos.TaskStatus_REASON_TASK_INVALID
		if text := c.authorizeTask(x.framework, info); text != "" {
			problem, reason = text, mesos.TaskStatus_REASON_TASK_UNAUTHORIZED
		} else if op.Id != nil {
			problem = launchWithID
		} else if err := c.checkTask(x, info); err != nil {
			problem = err.Error()
		}
		if problem != "" {
			c.forward(x.framework, c.launchStatus(info, mesos.TaskState_TASK_ERROR, reason, problem))
			continue
		}
		c.launchTask(x, info)
	}
}

func (c *Core) checkTask(x *acceptance, info *mesos.TaskInfo) error {
	inject(info.GetResources(), x.role)
	if e := info.GetExecutor(); e != nil {
		inject(e.GetResources(), x.role)
		if e.FrameworkId == nil {
			e.FrameworkId = frameworkID(x.framework.id)
		}
	}
	scope := c.scope(x)
	if err := validation.Task(info, scope); err != nil {
		return err
	}
	if err := validation.TaskExecutor(info, scope); err != nil {
		return err
	}
	total := amountsOf(info.GetResources())
	if e := info.GetExecutor(); e != nil && scope.Executor(e.GetExecutorId().GetValue()) == nil {
		total = total.plus(amountsOf(e.GetResources()))
	}
	if !x.remaining.contains(total.once()) {
		return validation.Invalid("Total resources " + total.String() +
			" required by task and its executor is more than available " + x.remaining.String())
	}
	return nil
}

// scope answers validation's questions about the framework and the agent of an ACCEPT.
func (c *Core) scope(x *acceptance) validation.Scope {
	f, a := x.framework, x.agent
	return validation.Scope{
		Framework: string(f.id),
		Agent:     string(a.id),
		Limits:    a.capable(mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS),
		TaskKnown: func(id string) bool {
			return f.tasks[TaskID(id)] != nil && !planted.Active("master-launch-duplicate")
		},
		TaskUnreachable: func(id string) bool { return f.unreachable[TaskID(id)] != nil },
		Executor: func(id string) *mesos.ExecutorInfo {
			if e := a.executors[executorKey{f.id, ExecutorID(id)}]; e != nil {
				return e.info
			}
			return nil
		},
		ContainersOf: func(id string) []*mesos.ContainerInfo { return containersOf(x, ExecutorID(id)) },
	}
}

// containersOf lists the containers of the tasks that an executor on the agent has.
func containersOf(x *acceptance, id ExecutorID) []*mesos.ContainerInfo {
	if x.agent.executors[executorKey{x.framework.id, id}] == nil {
		return nil
	}
	var found []*mesos.ContainerInfo
	for _, t := range x.agent.tasks.items {
		if t.framework == x.framework && t.rec.Base.GetExecutorId().GetValue() == string(id) {
			found = append(found, t.rec.Base.GetContainer())
		}
	}
	return found
}

func (c *Core) launchTask(x *acceptance, info *mesos.TaskInfo) {
	fresh := false
	if info.Executor != nil {
		fresh = c.takeExecutor(x, info.GetExecutor())
	}
	c.takeTask(x, info, info.GetExecutor())
	x.framework.rec.Counters.count(mesos.Offer_Operation_LAUNCH)
	message := &link.RunTask{Framework: x.framework.rec.Info, Task: info}
	if info.Executor != nil {
		message.LaunchExecutor = &fresh
	}
	if x.agent.resourceVersion != nil {
		message.ResourceVersions = [][]byte{x.agent.resourceVersion}
	}
	c.toAgent(x.agent, &link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: message}})
}

// takeExecutor books an executor if the agent does not have it yet.
func (c *Core) takeExecutor(x *acceptance, info *mesos.ExecutorInfo) (fresh bool) {
	if x.agent.executors[executorKey{x.framework.id, ExecutorID(info.GetExecutorId().GetValue())}] != nil {
		return false
	}
	e := c.addExecutor(x.framework, x.agent, info)
	x.remaining = x.remaining.minus(e.resources)
	return true
}

// takeTask books a task.
func (c *Core) takeTask(x *acceptance, info *mesos.TaskInfo, executor *mesos.ExecutorInfo) {
	t := c.addTask(x.framework, x.agent, newRecord(x.framework, info, executor))
	x.remaining = x.remaining.minus(t.resources)
	if shared := t.resources.onlyShared(); !shared.empty() {
		// The next task can use it, too.
		x.remaining = x.remaining.plus(shared)
		c.allocate(AllocatorShare{Framework: x.framework.id, Agent: x.agent.id, Resources: shared.protos()})
	}
	c.send(OperatorEvent{Type: TaskAdded, Task: t.rec, Owner: t.framework.rec.Info})
}

// launchGroup handles LAUNCH_GROUP: all tasks or none.
func (c *Core) launchGroup(x *acceptance, op *mesos.Offer_Operation) {
	group, executor := op.GetLaunchGroup().GetTaskGroup(), op.GetLaunchGroup().GetExecutor()
	problem, reason := "", mesos.TaskStatus_REASON_TASK_GROUP_INVALID
	if text := c.authorizeGroup(x.framework, group, executor); text != "" {
		problem, reason = text, mesos.TaskStatus_REASON_TASK_GROUP_UNAUTHORIZED
	} else if executor == nil {
		problem = "Expecting 'launch_group.executor' to be present"
	} else if op.Id != nil {
		problem = launchWithID
	} else if err := c.checkGroup(x, group, executor); err != nil {
		problem = err.Error()
	}
	if problem != "" {
		for _, info := range group.GetTasks() {
			c.forward(x.framework, c.launchStatus(info, mesos.TaskState_TASK_ERROR, reason, problem))
		}
		return
	}
	fresh := c.takeExecutor(x, executor)
	for _, info := range group.GetTasks() {
		c.takeTask(x, info, executor)
	}
	x.framework.rec.Counters.count(mesos.Offer_Operation_LAUNCH_GROUP)
	message := &link.RunTaskGroup{Framework: x.framework.rec.Info, Executor: executor, TaskGroup: group, LaunchExecutor: &fresh}
	if x.agent.resourceVersion != nil {
		message.ResourceVersions = [][]byte{x.agent.resourceVersion}
	}
	c.toAgent(x.agent, &link.FromMaster{Message: &link.FromMaster_RunTaskGroup{RunTaskGroup: message}})
}

func (c *Core) checkGroup(x *acceptance, group *mesos.TaskGroupInfo, executor *mesos.ExecutorInfo) error {
	if executor.GetFrameworkId() == nil {
		executor.FrameworkId = frameworkID(x.framework.id)
	}
	inject(executor.GetResources(), x.role)
	var tasks amounts
	for _, info := range group.GetTasks() {
		inject(info.GetResources(), x.role)
		if info.Executor == nil {
			info.Executor = executor
		} else {
			inject(info.Executor.GetResources(), x.role)
			if info.Executor.FrameworkId == nil {
				info.Executor.FrameworkId = executor.FrameworkId
			}
		}
		tasks = tasks.plus(amountsOf(info.GetResources()))
	}
	scope := c.scope(x)
	if err := validation.TaskGroup(group, executor, scope); err != nil {
		return err
	}
	total := tasks
	if scope.Executor(executor.GetExecutorId().GetValue()) == nil {
		total = total.plus(amountsOf(executor.GetResources()))
	}
	if !x.remaining.contains(total.once()) {
		return validation.Invalid("Total resources " + total.String() +
			" required by task group and its executor are more than available " + x.remaining.String())
	}
	return nil
}
