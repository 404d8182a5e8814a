package core

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/secrets"
	"agora.dev/agora/executor"
	"agora.dev/agora/internal/planted"
)

// Texts of refused launches.
const (
	textDraining       = "The agent is draining"
	textNoExecutor     = "The executor is no longer running"
	textExecutorEnding = "The executor is terminating"
	textLateVolume     = "A persistent volume can be mounted only while its executor starts, and this one runs"
	// Mesos's text.
	textUnknownResources = "The checkpointed resources being used by the task or task group are unknown to the agent"
)

func (c *Core) runTask(m *link.RunTask) {
	info := m.GetTask()
	kind, exec := Custom, info.GetExecutor()
	switch {
	case exec == nil:
		kind, exec = Command, commandExecutor(m.GetFramework(), info)
	case exec.GetType() == mesos.ExecutorInfo_DEFAULT:
		kind = TaskGroup
	}
	c.launch(m.GetFramework(), kind, exec, []*mesos.TaskInfo{info}, m.LaunchExecutor)
}

func (c *Core) runTaskGroup(m *link.RunTaskGroup) {
	kind := Custom
	if m.GetExecutor().GetType() == mesos.ExecutorInfo_DEFAULT {
		kind = TaskGroup
	}
	c.launch(m.GetFramework(), kind, m.GetExecutor(), m.GetTaskGroup().GetTasks(), m.LaunchExecutor, true)
}

// commandExecutor is the record of the built-in executor of a task without one.
func commandExecutor(f *mesos.FrameworkInfo, t *mesos.TaskInfo) *mesos.ExecutorInfo {
	id, source := t.GetTaskId().GetValue(), t.GetTaskId().GetValue()
	name := fmt.Sprintf("Command Executor (Task: %s) (Command: %s)", id, describe(t.GetCommand()))
	return &mesos.ExecutorInfo{
		ExecutorId: &mesos.ExecutorID{Value: &id}, FrameworkId: f.GetId(), Name: &name, Source: &source,
		Labels: t.GetLabels(), Discovery: t.GetDiscovery(),
	}
}

// longestCommand is how much of a command an executor's name holds, in bytes. Mesos slave.cpp.
const longestCommand = 15

func describe(command *mesos.CommandInfo) string {
	if command.GetShell() {
		return "sh -c '" + shortened(command.GetValue()) + "'"
	}
	return "[" + shortened(strings.Join(append([]string{command.GetValue()}, command.GetArguments()...), ", ")) + "]"
}

func shortened(text string) string {
	if len(text) <= longestCommand {
		return text
	}
	return strings.ToValidUTF8(text[:longestCommand-len("...")], "") + "..."
}

// launch accepts tasks for one executor, all or none, or answers each with why not.
func (c *Core) launch(fw *mesos.FrameworkInfo, kind Kind, exec *mesos.ExecutorInfo,
	tasks []*mesos.TaskInfo, startExecutor *bool, group ...bool) {
	fresh := tasks[:0:0]
	for _, t := range tasks {
		key := TaskKey{frameworkID(fw), taskID(t)}
		switch {
		case planted.Active("agent-duplicate-launch"):
			fresh = append(fresh, t)
		case c.task(key) != nil || c.updates.Open(streamOf(key)):
			c.note("task delivered twice", "task", key.Task)
		case c.knownBefore(key):
			c.refuse(key, mesos.TaskState_TASK_ERROR, mesos.TaskStatus_REASON_TASK_INVALID,
				"Task has duplicate ID: "+string(key.Task))
		default:
			fresh = append(fresh, t)
		}
	}
	if len(fresh) == 0 || len(fresh) != len(tasks) {
		return
	}
	e := c.executor(fw.GetId(), exec.GetExecutorId())
	if reject := c.judge(fw, kind, e, fresh, startExecutor); reject != nil {
		for _, t := range fresh {
			c.refuse(TaskKey{frameworkID(fw), taskID(t)}, reject.state, reject.reason, reject.message)
		}
		return
	}
	f := c.framework(fw)
	created := e == nil
	if created {
		e = c.newExecutor(f, kind, exec)
	}
	l := launch{group: len(group) > 0}
	for _, t := range fresh {
		l.tasks = append(l.tasks, c.accept(e, t))
	}
	e.queued = append(e.queued, l)
	if created {
		c.startExecutor(e)
	}
	if e.state == running {
		c.deliverQueued(e)
	}
}

// rejection is the answer to a launch that is not accepted.
type rejection struct {
	state   mesos.TaskState
	reason  mesos.TaskStatus_Reason
	message string
}

// judge says why tasks cannot be launched; nil when they can.
func (c *Core) judge(fw *mesos.FrameworkInfo, kind Kind, e *executorRun, tasks []*mesos.TaskInfo, start *bool) *rejection {
	dropped := (&framework{info: fw}).lostState(mesos.TaskState_TASK_DROPPED)
	if c.drain != nil || c.stopping {
		return &rejection{dropped, mesos.TaskStatus_REASON_AGENT_DRAINING, textDraining}
	}
	if f := c.frameworks[frameworkID(fw)]; f != nil && f.terminating {
		return &rejection{dropped, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, textExecutorEnding}
	}
	switch {
	case e != nil && e.state >= terminating:
		return &rejection{dropped, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, textExecutorEnding}
	case e != nil && e.kind != kind:
		return &rejection{mesos.TaskState_TASK_ERROR, mesos.TaskStatus_REASON_TASK_INVALID,
			fmt.Sprintf("Executor %s is of another kind", e.run.Key.Executor)}
	case e == nil && start != nil && !*start:
		return &rejection{dropped, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, textNoExecutor}
	}
	if kind == Custom && e != nil && len(c.persistent(used(tasks))) > 0 {
		return &rejection{mesos.TaskState_TASK_ERROR, mesos.TaskStatus_REASON_TASK_INVALID, textLateVolume}
	}
	if !c.hasResources(tasks) {
		return &rejection{dropped, mesos.TaskStatus_REASON_RESOURCES_UNKNOWN, textUnknownResources}
	}
	return nil
}

// framework finds or makes the record of a framework and keeps its info fresh.
func (c *Core) framework(info *mesos.FrameworkInfo) *framework {
	id := frameworkID(info)
	f := c.frameworks[id]
	if f == nil {
		f = &framework{id: id, executors: map[ExecutorID]*executorRun{}}
		f.takeOver(c.takeCompleted(id))
		c.frameworks[id] = f
	}
	if f.info == nil || !proto.Equal(f.info, info) {
		f.info = info
		c.persist(WriteFramework{Info: info})
	}
	return f
}

func (c *Core) newExecutor(f *framework, kind Kind, info *mesos.ExecutorInfo) *executorRun {
	if info.GetFrameworkId() == nil {
		info = proto.CloneOf(info)
		info.FrameworkId = f.info.GetId()
	}
	run := Run{Key: ExecutorKey{f.id, executorID(info)}, Container: containerizer.ID(c.uuidText())}
	e := &executorRun{run: run, kind: kind, info: info, framework: f, state: registering, tasks: map[TaskID]*task{}}
	f.executors[run.Key.Executor] = e
	c.persist(WriteExecutor{Run: run, Kind: kind, Info: secrets.WithoutExecutor(info)})
	return e
}

// startExecutor begins what makes a new executor able to take its queue.
func (c *Core) startExecutor(e *executorRun) {
	switch e.kind {
	case Command:
		e.builtin = c.config.Executors.New(e.kind, c.executorConfig(e))
		c.connectBuiltin(e)
	case TaskGroup:
		e.builtin = c.config.Executors.New(e.kind, c.executorConfig(e))
		c.launchOwn(e)
	case Custom:
		c.setDeadline(e, c.now.Add(c.config.Timers.ExecutorRegistration))
		c.launchOwn(e)
	}
}

func (c *Core) executorConfig(e *executorRun) executor.Config {
	return executor.Config{
		FrameworkID: string(e.run.Key.Framework), ExecutorID: string(e.run.Key.Executor),
		Container: executor.ContainerID(e.run.Container), ShutdownGrace: c.shutdownGrace(e.info),
		NewUUID: c.config.NewUUID, Boot: c.config.Boot,
	}
}

func (c *Core) shutdownGrace(info *mesos.ExecutorInfo) time.Duration {
	if grace := info.GetShutdownGracePeriod(); grace != nil {
		return time.Duration(max(0, grace.GetNanoseconds()))
	}
	return c.config.Timers.ExecutorShutdownGrace
}

// accept writes a task down: from here on it ends with a terminal update.
func (c *Core) accept(e *executorRun, info *mesos.TaskInfo) *task {
	t := &task{info: info, exec: e, proto: c.newTask(e, info)}
	if e.kind != TaskGroup {
		t.container = e.run.Container
	}
	e.tasks[taskID(info)] = t
	c.persist(WriteTask{Run: e.run, Info: secrets.WithoutTask(info)})
	return t
}

func (c *Core) newTask(e *executorRun, info *mesos.TaskInfo) *mesos.Task {
	t := &mesos.Task{
		Name: info.Name, TaskId: info.GetTaskId(), FrameworkId: e.framework.info.GetId(),
		AgentId: info.GetAgentId(), State: mesos.TaskState_TASK_STAGING.Enum(), Resources: info.GetResources(),
		Labels: info.GetLabels(), Discovery: info.GetDiscovery(), Container: secrets.WithoutContainer(info.GetContainer()),
		HealthCheck: secrets.WithoutHealthCheck(info.GetHealthCheck()), KillPolicy: info.GetKillPolicy(), Limits: info.GetLimits(),
	}
	if e.kind != Command {
		t.ExecutorId = e.info.GetExecutorId()
	}
	if command := info.GetCommand(); command.GetUser() != "" {
		t.User = command.User
	} else if user := info.GetExecutor().GetCommand().GetUser(); user != "" {
		t.User = &user
	}
	return t
}

func (c *Core) uuidText() string {
	id := c.config.NewUUID()
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func (c *Core) setDeadline(e *executorRun, at time.Time) {
	e.deadline = at
	c.timers.arm(e)
}
