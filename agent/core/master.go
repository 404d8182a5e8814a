package core

import (
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/statusupdates"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
)

// textUnknownTask answers a reconciliation, as a real agent does.
const textUnknownTask = "Reconciliation: Task is unknown to the agent"

func cloneInfo(info *mesos.AgentInfo) *mesos.AgentInfo { return proto.CloneOf(info) }

// fromMaster handles a message of the current link; others are stale.
func (c *Core) fromMaster(e FromMaster) {
	if e.Link == 0 || e.Link != c.session.link {
		return
	}
	switch m := e.Message.GetMessage().(type) {
	case *link.FromMaster_Registered:
		c.registered(m.Registered)
	case *link.FromMaster_Reregistered:
		c.reregistered(m.Reregistered)
	case *link.FromMaster_Refused:
		c.note("the master refuses this agent", "reason", m.Refused.GetReason())
	case *link.FromMaster_Ping:
		c.ping(m.Ping)
	case *link.FromMaster_ShutdownAgent:
		c.shutdownAgent(m.ShutdownAgent.GetMessage())
	default:
		if c.session.phase == joined {
			c.order(e.Message)
		}
	}
}

// order handles what only the master that we are registered with may ask for.
func (c *Core) order(message *link.FromMaster) {
	switch m := message.GetMessage().(type) {
	case *link.FromMaster_RunTask:
		c.runTask(m.RunTask)
	case *link.FromMaster_RunTaskGroup:
		c.runTaskGroup(m.RunTaskGroup)
	case *link.FromMaster_KillTask:
		c.killTask(m.KillTask)
	case *link.FromMaster_AcknowledgeUpdate:
		c.acknowledge(m.AcknowledgeUpdate)
	case *link.FromMaster_UpdateFramework:
		c.updateFramework(m.UpdateFramework.GetFramework())
	case *link.FromMaster_ShutdownFramework:
		c.shutdownFramework(FrameworkID(m.ShutdownFramework.GetFrameworkId().GetValue()))
	case *link.FromMaster_ShutdownExecutor:
		s := m.ShutdownExecutor
		if e := c.executor(s.GetFrameworkId(), s.GetExecutorId()); e != nil {
			c.shutdownExecutor(e, nil)
		}
	case *link.FromMaster_FrameworkMessage:
		c.frameworkMessage(m.FrameworkMessage)
	case *link.FromMaster_ReconcileTasks:
		c.reconcile(m.ReconcileTasks.GetTasks())
	case *link.FromMaster_OpenRelay:
		c.send(OpenRelay{Token: m.OpenRelay.GetToken(), Principal: m.OpenRelay.GetPrincipal()})
	case *link.FromMaster_DrainAgent:
		c.setDrain(m.DrainAgent.Config)
	case *link.FromMaster_ApplyOperation:
		c.applyOperation(m.ApplyOperation)
	case *link.FromMaster_AcknowledgeOperation:
		c.acknowledgeOperation(m.AcknowledgeOperation)
	}
}

func (c *Core) executor(f *mesos.FrameworkID, e *mesos.ExecutorID) *executorRun {
	if framework := c.frameworks[FrameworkID(f.GetValue())]; framework != nil {
		return framework.executors[ExecutorID(e.GetValue())]
	}
	return nil
}

func (c *Core) task(key TaskKey) *task {
	f := c.frameworks[key.Framework]
	if f == nil {
		return nil
	}
	if e := f.executors[ExecutorID(key.Task)]; e != nil && e.tasks[key.Task] != nil {
		return e.tasks[key.Task] // a command task: the common case
	}
	for _, e := range f.executors {
		if t := e.tasks[key.Task]; t != nil {
			return t
		}
	}
	return nil
}

// knownBefore says whether a task is among the completed ones that are remembered.
func (c *Core) knownBefore(key TaskKey) bool {
	has := func(e *executorRun) bool {
		for _, t := range e.completed {
			if t.GetTaskId().GetValue() == string(key.Task) {
				return true
			}
		}
		return false
	}
	search := func(f *framework) bool {
		for _, e := range f.completed {
			if has(e) {
				return true
			}
		}
		for _, e := range f.executors {
			if has(e) {
				return true
			}
		}
		return false
	}
	if f := c.frameworks[key.Framework]; f != nil && search(f) {
		return true
	}
	for _, f := range c.completed {
		if f.id == key.Framework && search(f) {
			return true
		}
	}
	return false
}

func (c *Core) acknowledge(m *link.AcknowledgeUpdate) {
	key := TaskKey{FrameworkID(m.GetFrameworkId().GetValue()), TaskID(m.GetTaskId().GetValue())}
	closed, err := c.updates.Acknowledge(c.now, streamOf(key), m.GetUuid())
	t := c.task(key)
	if err != nil {
		c.debug("acknowledgement ignored", "task", key.Task, "reason", err)
		return
	}
	if t == nil {
		return // the stream of a task that was refused: nothing is on disk
	}
	run := t.exec.run
	c.persist(WriteAcknowledged{Run: run, Task: key.Task, UUID: m.GetUuid()})
	if closed {
		c.complete(t)
		return
	}
	c.refreshFront(t)
}

func (c *Core) updateFramework(info *mesos.FrameworkInfo) {
	if f := c.frameworks[frameworkID(info)]; f != nil {
		f.info = info
		c.persist(WriteFramework{Info: info})
	}
}

func (c *Core) frameworkMessage(m *link.FrameworkMessage) {
	e := c.executor(m.GetFrameworkId(), m.GetExecutorId())
	if e == nil || e.state != running {
		c.counters.InvalidMessages++
		return
	}
	c.counters.ValidMessages++
	c.deliver(e, &execapi.Event{
		Type:    execapi.Event_MESSAGE.Enum(),
		Message: &execapi.Event_Message{Data: m.GetData()},
	})
}

// reconcile answers for tasks that the master believes to be here and that are not.
func (c *Core) reconcile(tasks []*link.ReconcileTask) {
	for _, r := range tasks {
		key := TaskKey{FrameworkID(r.GetFrameworkId().GetValue()), TaskID(r.GetTaskId().GetValue())}
		if c.task(key) != nil || c.updates.Open(streamOf(key)) {
			continue
		}
		c.refuse(key, c.frameworks[key.Framework].lostState(mesos.TaskState_TASK_DROPPED),
			mesos.TaskStatus_REASON_RECONCILIATION, textUnknownTask)
	}
}

// refuse sends a terminal update for a task of which nothing else is kept. It is
// retried until acknowledged, but does not survive the agent: a restarted agent does not
// know the task, and is asked about it again.
func (c *Core) refuse(key TaskKey, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) {
	id := string(key.Task)
	status := c.agentStatus(id, state, reason, message)
	if err := c.updates.Add(c.now, streamOf(key), status); err != nil {
		c.debug("refusal not sent", "task", id, "reason", err)
	}
}

func streamOf(key TaskKey) statusupdates.Key {
	return statusupdates.Key{Framework: string(key.Framework), Task: string(key.Task)}
}
