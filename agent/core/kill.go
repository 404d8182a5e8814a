package core

import (
	"errors"

	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/internal/planted"
)

// killTask tries to kill, every time it is asked.
func (c *Core) killTask(m *link.KillTask) {
	key := TaskKey{FrameworkID(m.GetFrameworkId().GetValue()), TaskID(m.GetTaskId().GetValue())}
	t := c.task(key)
	if t == nil {
		if c.updates.Open(streamOf(key)) || c.knownBefore(key) {
			return
		}
		c.refuse(key, c.frameworks[key.Framework].lostState(mesos.TaskState_TASK_DROPPED),
			mesos.TaskStatus_REASON_RECONCILIATION, textUnknownTask)
		return
	}
	c.kill(t, m.GetKillPolicy())
}

func (c *Core) kill(t *task, policy *mesos.KillPolicy) {
	e := t.exec
	if terminalState(t.proto.GetState()) {
		return
	}
	if !t.delivered {
		if planted.Active("agent-forget-queued-kill") {
			return
		}
		c.killQueued(t)
		return
	}
	t.killed, t.kill = true, policy
	if e.state == running {
		c.deliverKill(t)
	}
}

func (c *Core) deliverKill(t *task) {
	c.deliver(t.exec, &execapi.Event{
		Type: execapi.Event_KILL.Enum(),
		Kill: &execapi.Event_Kill{TaskId: t.info.GetTaskId(), KillPolicy: t.kill},
	})
}

// killQueued ends a task that waits for its executor, with its whole group; an executor
// that is left without tasks is ended.
func (c *Core) killQueued(t *task) {
	e := t.exec
	for i, l := range e.queued {
		for _, have := range l.tasks {
			if have != t {
				continue
			}
			e.queued = append(e.queued[:i:i], e.queued[i+1:]...)
			for _, sibling := range l.tasks {
				c.endTask(sibling, mesos.TaskState_TASK_KILLED, mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH,
					"The task was killed before delivery to its executor", nil)
			}
			if e.idle() && e.state == registering {
				e.state = terminating
				c.destroy(e)
			}
			return
		}
	}
}

// idle says whether no task of the executor is alive.
func (e *executorRun) idle() bool {
	for _, t := range e.tasks {
		if !terminalState(t.proto.GetState()) {
			return false
		}
	}
	return true
}

// shutdownFramework ends all of a framework. Nobody will acknowledge its updates, so
// they are dropped.
func (c *Core) shutdownFramework(id FrameworkID) {
	f := c.frameworks[id]
	if f == nil {
		return
	}
	f.terminating = true
	for _, eid := range sorted(f.executors) {
		e := f.executors[eid]
		for _, tid := range sorted(e.tasks) {
			c.updates.Remove(streamOf(TaskKey{id, tid}))
		}
		if e.state == terminated {
			c.collect(e)
			continue
		}
		c.shutdownExecutor(e, nil)
	}
	c.collectFramework(f)
}

// shutdownAgent obeys a master that wants this agent gone. Once everything has ended, the
// ID and all that belongs to it is forgotten; an agent that dies before goes on when the
// master repeats its wish.
func (c *Core) shutdownAgent(message string) {
	c.note("the master shuts this agent down", "message", message)
	c.stopErr = errors.New("the master asked the agent to shut down: " + message)
	c.forget = true
	if planted.Active("agent-forget-id-early") {
		c.persist(WriteAgent{})
	}
	c.stop()
}

func (c *Core) shutDown(e ShutDown) {
	if !e.Tasks {
		c.send(Exit{})
		return
	}
	c.stop()
}

// stop ends every executor; finish then leaves.
func (c *Core) stop() {
	if c.stopping {
		return
	}
	c.stopping = true
	for _, e := range c.runs() {
		c.shutdownExecutor(e, nil)
	}
}

// forgetAll makes the next process a new agent; the ID goes last.
func (c *Core) forgetAll() {
	for _, id := range sorted(c.frameworks) {
		c.persist(RemoveFramework{Framework: id})
	}
	if c.drain != nil {
		c.persist(WriteDrain{})
	}
	c.persist(WriteAgent{})
}

// finish ends executors that a drain left idle, and the agent when it is stopping.
func (c *Core) finish() {
	if c.stopping {
		for _, f := range c.frameworks {
			for _, e := range f.executors {
				if e.state != terminated {
					return
				}
			}
		}
		if c.info.GetId() != nil && c.session.phase == joined {
			c.sendDue()
			c.toMaster(&link.FromAgent{Message: &link.FromAgent_Unregister{Unregister: &link.Unregister{AgentId: c.info.GetId()}}})
		}
		if c.forget {
			c.forgetAll()
		}
		c.send(Exit{Err: c.stopErr})
		c.stopping = false
		return
	}
	if c.drain != nil {
		c.endIdleExecutors()
	}
}
