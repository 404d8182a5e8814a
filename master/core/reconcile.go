package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// reconcile answers what the framework asks about its tasks; nothing asked means all of them.
func (c *Core) reconcile(f *framework, call *scheduler.Call_Reconcile) {
	if len(call.GetTasks()) == 0 {
		for _, t := range f.tasksInOrder() {
			c.forward(f, c.knownStatus(t))
		}
		return
	}
	for _, asked := range call.GetTasks() {
		c.reconcileTask(f, asked)
	}
}

// reconcileTask answers for one task, or stays silent while an agent that may have it has
// not come back after the election.
func (c *Core) reconcileTask(f *framework, asked *scheduler.Call_Reconcile_Task) {
	if t := f.tasks[TaskID(asked.GetTaskId().GetValue())]; t != nil {
		c.forward(f, c.knownStatus(t))
		return
	}
	status := &mesos.TaskStatus{
		TaskId:    asked.TaskId,
		Source:    mesos.TaskStatus_SOURCE_MASTER.Enum(),
		Reason:    mesos.TaskStatus_REASON_RECONCILIATION.Enum(),
		AgentId:   asked.AgentId,
		Timestamp: ptr(seconds(c.now)),
	}
	id := AgentID(asked.GetAgentId().GetValue())
	if u := f.unreachable[TaskID(asked.GetTaskId().GetValue())]; u != nil {
		id = u.agent
		status.AgentId = agentID(id)
	}
	aware, message, at, silent := c.unknownTask(id, asked.AgentId != nil || id != "")
	if silent {
		return
	}
	status.State = f.lostState(aware).Enum()
	status.Message = &message
	if !at.IsZero() {
		status.UnreachableTime = timeInfo(at)
	}
	c.forward(f, status)
}

// unknownTask says what a task is that the master does not know to be on the agent.
func (c *Core) unknownTask(id AgentID, named bool) (aware mesos.TaskState, message string, at time.Time, silent bool) {
	switch {
	case !named && len(c.recovered) > 0, c.recovered[id] != nil:
		return 0, "", at, true
	case c.agents[id] != nil:
		return mesos.TaskState_TASK_GONE, "Reconciliation: Task is unknown to the agent", at, false
	case c.lost[id] != nil:
		return mesos.TaskState_TASK_UNREACHABLE, "Reconciliation: Task is unreachable", c.lost[id].at, false
	case c.gone[id] != nil:
		return mesos.TaskState_TASK_GONE_BY_OPERATOR, "Reconciliation: Task is gone", at, false
	}
	return mesos.TaskState_TASK_UNKNOWN, "Reconciliation: Task is unknown", at, false
}

// knownStatus repeats what was last forwarded of a task, without labels and data.
func (c *Core) knownStatus(t *task) *mesos.TaskStatus {
	status := c.masterStatus(t, t.rec.StatusUpdateState, mesos.TaskStatus_REASON_RECONCILIATION,
		"Reconciliation: Latest task state")
	if n := len(t.rec.Statuses); n > 0 {
		last := t.rec.Statuses[n-1]
		status.Healthy, status.CheckStatus, status.ContainerStatus = last.Healthy, last.CheckStatus, last.ContainerStatus
	}
	return status
}
