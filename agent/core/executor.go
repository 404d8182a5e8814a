package core

import (
	"errors"
	"slices"
	"time"

	"agora.dev/agora/agent/containerizer"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
	"agora.dev/agora/internal/planted"
)

// Classes of refused executor calls; the texts are those of Mesos.
var (
	ErrRecovering       = errors.New("Agent has not finished recovery")
	ErrUnknownFramework = errors.New("Framework cannot be found")
	ErrUnknownExecutor  = errors.New("Executor cannot be found")
	ErrNotSubscribed    = errors.New("Executor is not subscribed")
)

// destroyRetry is the time after which an executor that was destroyed and has not
// ended is destroyed again.
const destroyRetry = 10 * time.Second

func (c *Core) find(key ExecutorKey) (*executorRun, error) {
	f := c.frameworks[key.Framework]
	if f == nil {
		return nil, ErrUnknownFramework
	}
	e := f.executors[key.Executor]
	if e == nil || e.state == terminated || e.kind != Custom {
		return nil, ErrUnknownExecutor
	}
	return e, nil
}

// subscribed connects a custom executor; a second connection replaces the first.
func (c *Core) subscribed(s ExecutorSubscribed) {
	e, err := c.find(s.Key)
	c.send(Reply{Request: s.Request, Err: err})
	if err != nil {
		return
	}
	if e.connection != 0 {
		c.send(CloseExecutor{Connection: e.connection})
		delete(c.connections, e.connection)
	}
	e.connection, e.reconnect = s.Connection, false
	c.connections[s.Connection] = e
	if e.state == terminating {
		c.deliver(e, &execapi.Event{Type: execapi.Event_SHUTDOWN.Enum()})
		return
	}
	if e.state == registering {
		e.deadline = time.Time{}
	}
	e.state = running
	c.deliver(e, c.subscribedEvent(e))
	for _, u := range s.Subscribe.GetUnacknowledgedUpdates() {
		c.update(e, u.GetStatus())
	}
	c.dropUnlisted(e, s.Subscribe.GetUnacknowledgedTasks())
	c.deliverQueued(e)
	for _, id := range sorted(e.tasks) {
		if t := e.tasks[id]; t.killed && !terminalState(t.proto.GetState()) {
			c.deliverKill(t)
		}
	}
	if len(e.tasks) == 0 && !e.everSent() {
		c.shutdownExecutor(e, nil) // its tasks were killed before it came up
	}
}

// everSent reports whether a task that has been reached the executor: one that returns without work is then left alone.
// Mesos slave.cpp, Executor::everSentTask.
func (e *executorRun) everSent() bool {
	return slices.ContainsFunc(e.completed, func(t *mesos.Task) bool {
		return slices.ContainsFunc(t.GetStatuses(), func(s *mesos.TaskStatus) bool { return s.GetSource() == mesos.TaskStatus_SOURCE_EXECUTOR })
	})
}

// dropUnlisted ends tasks that were handed out and that the executor never got: they
// are still STAGING and it does not list them.
func (c *Core) dropUnlisted(e *executorRun, listed []*mesos.TaskInfo) {
	known := map[TaskID]bool{}
	for _, t := range listed {
		known[taskID(t)] = true
	}
	for _, id := range sorted(e.tasks) {
		t := e.tasks[id]
		if t.delivered && !known[id] && t.proto.GetState() == mesos.TaskState_TASK_STAGING {
			c.endTask(t, e.framework.lostState(mesos.TaskState_TASK_DROPPED), mesos.TaskStatus_REASON_AGENT_RESTARTED,
				"The agent was restarted before the task reached its executor", nil)
		}
	}
}

func (c *Core) disconnected(d ExecutorDisconnected) {
	e := c.connections[d.Connection]
	delete(c.connections, d.Connection)
	if e == nil || e.connection != d.Connection {
		return
	}
	e.connection = 0
	if !e.framework.info.GetCheckpoint() && e.state == running {
		// Without checkpointing an executor is bound to its connection.
		c.debug("executor disconnected", "executor", e.run.Key.Executor)
	}
}

// call handles UPDATE, MESSAGE and HEARTBEAT of a custom executor.
func (c *Core) call(m ExecutorCall) {
	call := m.Call
	if call.GetType() == execapi.Call_HEARTBEAT {
		c.send(Reply{Request: m.Request})
		return
	}
	key := ExecutorKey{FrameworkID(call.GetFrameworkId().GetValue()), ExecutorID(call.GetExecutorId().GetValue())}
	e, err := c.find(key)
	if err == nil && e.connection == 0 {
		err = ErrNotSubscribed
	}
	if err == nil {
		switch call.GetType() {
		case execapi.Call_UPDATE:
			c.update(e, call.GetUpdate().GetStatus())
		case execapi.Call_MESSAGE:
			c.executorMessage(e, call.GetMessage().GetData())
		}
	}
	c.send(Reply{Request: m.Request, Err: err})
}

// expire acts on everything whose time has come.
func (c *Core) expire() {
	if !c.recovered {
		return
	}
	for e := c.timers.due(c.now); e != nil; e = c.timers.due(c.now) {
		if !e.wake.IsZero() && !e.wake.After(c.now) {
			e.wake = time.Time{}
			c.feed(e, executor.Tick{})
		}
		if !e.deadline.IsZero() && !e.deadline.After(c.now) {
			e.deadline = time.Time{}
			c.deadlinePassed(e)
		}
		c.timers.arm(e)
	}
	c.releaseSession()
	c.expireSession()
}

func (c *Core) deadlinePassed(e *executorRun) {
	switch {
	case e.state == registering && e.reconnect:
		e.cause = &Cause{Reason: mesos.TaskStatus_REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
			Message: "Executor did not re-register within " + durationText(c.config.Timers.ExecutorReregistration)}
	case e.state == registering:
		e.cause = &Cause{Reason: mesos.TaskStatus_REASON_EXECUTOR_REGISTRATION_TIMEOUT,
			Message: "Executor did not register within " + durationText(c.config.Timers.ExecutorRegistration)}
	case e.state != terminating:
		return
	}
	e.state, e.reconnect = terminating, false
	c.destroy(e)
}

// destroy kills the executor's container, again and again until it has ended.
func (c *Core) destroy(e *executorRun) {
	e.destroying = true
	if e.cause != nil && !e.explained {
		e.explained = true
		c.persist(WriteCause{Run: e.run, Cause: e.cause})
	}
	c.send(DestroyContainer{ID: e.run.Container})
	c.setDeadline(e, c.now.Add(destroyRetry))
}

// shutdownExecutor asks an executor to end, and makes it end after its grace period.
func (c *Core) shutdownExecutor(e *executorRun, why *Cause) {
	if e.state == terminated || e.destroying {
		return
	}
	if e.cause == nil {
		e.cause = why
	}
	c.dropQueued(e)
	if e.kind != Custom && e.state == running {
		c.deliver(e, &execapi.Event{Type: execapi.Event_SHUTDOWN.Enum()})
		if e.kind == Command {
			return // it ends with its task
		}
		e.state = terminating
		c.setDeadline(e, c.now.Add(c.shutdownGrace(e.info)))
		return
	}
	connected := e.connection != 0
	e.state = terminating
	if !connected {
		c.destroy(e)
		return
	}
	c.deliver(e, &execapi.Event{Type: execapi.Event_SHUTDOWN.Enum()})
	c.setDeadline(e, c.now.Add(c.shutdownGrace(e.info)))
}

// dropQueued ends tasks that were not delivered and never will be.
func (c *Core) dropQueued(e *executorRun) {
	queued := e.queued
	e.queued = nil
	for _, l := range queued {
		for _, t := range l.tasks {
			c.endTask(t, mesos.TaskState_TASK_KILLED, mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH,
				"The task was killed before delivery to its executor", nil)
		}
	}
}

// endTask makes a terminal update for a task, by the agent. A task that has ended
// already is left alone.
func (c *Core) endTask(t *task, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string, limited []*mesos.Resource) {
	if terminalState(t.proto.GetState()) {
		return
	}
	status := c.agentStatus(string(taskID(t.info)), state, reason, message)
	status.ExecutorId = t.exec.info.GetExecutorId()
	status.ContainerStatus = c.containerStatus(t, nil)
	if len(limited) > 0 {
		status.Limitation = &mesos.TaskResourceLimitation{Resources: limited}
	}
	if err := c.record(t, status); err != nil {
		c.debug("terminal update ignored", "task", taskID(t.info), "reason", err)
	}
}

// executorEnded follows the end of an executor's container, or of a command task.
func (c *Core) executorEnded(e *executorRun, how containerizer.Termination) {
	if e.state == terminated {
		return
	}
	c.endTasks(e, how)
	e.state, e.deadline, e.wake, e.queued = terminated, time.Time{}, time.Time{}, nil
	if e.connection != 0 {
		c.send(CloseExecutor{Connection: e.connection})
		delete(c.connections, e.connection)
		e.connection = 0
	}
	c.counters.ExecutorsTerminated++
	c.persist(WriteEnded{Run: e.run})
	if e.kind != Command {
		c.tellExit(e, how)
	}
	c.forgetContainers(e)
	c.collect(e)
}

// tellExit tells the master of an executor's end. While the master has not answered a
// registration that lists the executor, it may not know it yet: then it is told afterwards.
func (c *Core) tellExit(e *executorRun, how containerizer.Termination) {
	status := int32(0)
	if how.Status != nil {
		status = *how.Status
	}
	message := &link.FromAgent{Message: &link.FromAgent_ExitedExecutor{ExitedExecutor: &link.ExitedExecutor{
		FrameworkId: e.framework.info.GetId(), ExecutorId: e.info.GetExecutorId(),
		AgentId: c.info.GetId(), Status: &status,
	}}}
	switch c.session.phase {
	case joining:
		c.session.exits = append(c.session.exits, message)
	case joined:
		c.toMaster(message)
	}
}

// endTasks gives every task of an ended executor its terminal update.
func (c *Core) endTasks(e *executorRun, how containerizer.Termination) {
	queued := map[TaskID]bool{}
	for _, l := range e.queued {
		for _, t := range l.tasks {
			queued[taskID(t.info)] = true
		}
	}
	for _, id := range sorted(e.tasks) {
		if planted.Active("agent-forget-terminal") && e.kind != Command {
			break
		}
		t := e.tasks[id]
		state, reason, message := c.verdict(e, how, queued[id])
		c.endTask(t, state, reason, message, how.Limited)
	}
}

func (c *Core) verdict(e *executorRun, how containerizer.Termination, queued bool) (mesos.TaskState, mesos.TaskStatus_Reason, string) {
	failed := mesos.TaskState_TASK_FAILED
	switch {
	case how.Limitation():
		reason, state := how.Reason, how.State
		if state == 0 {
			state = failed
		}
		if reason == 0 {
			reason = mesos.TaskStatus_REASON_EXECUTOR_TERMINATED
		}
		return state, reason, how.Message
	case e.givenUp():
		return e.framework.lostState(mesos.TaskState_TASK_GONE), e.cause.Reason, e.cause.Message
	case e.cause != nil && e.cause.State != 0:
		return e.cause.State, e.cause.Reason, e.cause.Message
	case e.cause != nil:
		return failed, e.cause.Reason, e.cause.Message
	case queued:
		return e.framework.lostState(mesos.TaskState_TASK_DROPPED), mesos.TaskStatus_REASON_EXECUTOR_TERMINATED,
			"The executor ended before the task was delivered"
	}
	message := how.Message
	if message == "" && how.Status != nil {
		message = "Executor " + executor.DescribeStatus(*how.Status)
	}
	if message == "" {
		message = "The executor has ended; its exit status is lost"
	}
	return failed, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, message
}

// forgetContainers drops the records of all containers of a run.
func (c *Core) forgetContainers(e *executorRun) {
	var own []containerizer.ID
	for id, have := range c.containers {
		if have.exec == e {
			own = append(own, id)
		}
	}
	for _, id := range sortIDs(own) {
		c.removeContainer(id)
	}
}
