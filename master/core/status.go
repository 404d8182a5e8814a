package core

import (
	"bytes"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
)

// statusUpdate takes an agent's update into the books and hands it to the framework. Only the
// framework's acknowledgement lets the agent forget it; until then the agent repeats it.
func (c *Core) statusUpdate(a *agent, u *link.StatusUpdate) {
	id := FrameworkID(u.GetFrameworkId().GetValue())
	f := c.frameworks[id]
	if f == nil {
		c.pub.counters.InvalidStatusUpdates++
		if c.removed[id] {
			c.toAgent(a, shutdownFramework(id))
		}
		return
	}
	status := u.GetStatus()
	if status == nil || status.State == nil {
		c.pub.counters.InvalidStatusUpdates++
		return
	}
	t := f.tasks[TaskID(status.GetTaskId().GetValue())]
	if t == nil || t.agent != a {
		c.pub.counters.InvalidStatusUpdates++
		c.forward(f, status)
		return
	}
	c.pub.counters.ValidStatusUpdates++
	t.rec.shareWith(status)
	if f.conn == 0 && Terminal(status.GetState()) && planted.Active("master-drop-terminal") {
		c.toAgent(a, acknowledge(a, f, t.id, status.GetUuid()))
	}
	latest := status.GetState()
	if u.LatestState != nil {
		latest = u.GetLatestState()
	}
	c.applyStatus(t, status, latest)
	c.forward(f, status)
}

// forward hands a status to the framework. Without a stream it is dropped: agents repeat
// theirs, and reconciliation tells the master's.
func (c *Core) forward(f *framework, status *mesos.TaskStatus) {
	c.toFramework(f, &scheduler.Event{Type: scheduler.Event_UPDATE.Enum(),
		Update: &scheduler.Event_Update{Status: status}})
}

// applyStatus records a status of a task and its newest state. A terminal state stays.
func (c *Core) applyStatus(t *task, status *mesos.TaskStatus, latest mesos.TaskState) {
	rec := *t.rec
	repeated := status.Uuid != nil && bytes.Equal(status.GetUuid(), rec.StatusUpdateUUID)
	was, ended := rec.State, Terminal(rec.State)
	switch {
	case planted.Active("master-revive-terminal"):
		rec.State = status.GetState()
	case !ended:
		rec.State = latest
	}
	if status.Uuid != nil { // nobody acknowledges what a master made
		rec.StatusUpdateState, rec.StatusUpdateUUID = status.GetState(), status.GetUuid()
	}
	if !repeated {
		rec.Statuses = appendStatus(rec.Statuses, status)
	}
	c.replaceTask(t, &rec)
	if Terminal(rec.State) || rec.State == mesos.TaskState_TASK_UNREACHABLE {
		if !ended && Terminal(rec.State) {
			reason := reasonOf(status)
			if status.GetState() != rec.State {
				reason = -1 // an older update came with the newest state
			}
			c.countEnd(t, status.GetSource(), reason)
		}
		if !t.released || planted.Active("master-double-recover") {
			c.release(t)
		}
	}
	if !repeated || rec.State != was {
		c.send(OperatorEvent{Type: TaskUpdated, Task: t.rec, Status: status, Owner: t.framework.rec.Info})
	}
}

// appendStatus adds a status without its data; of a run of equal states only the last stays.
func appendStatus(statuses []*mesos.TaskStatus, status *mesos.TaskStatus) []*mesos.TaskStatus {
	if status.Data != nil {
		status = withoutData(status)
	}
	n := len(statuses)
	if n > 0 && statuses[n-1].GetState() == status.GetState() {
		n--
	}
	next := make([]*mesos.TaskStatus, n, n+1)
	copy(next, statuses)
	return append(next, status)
}

func withoutData(s *mesos.TaskStatus) *mesos.TaskStatus {
	return &mesos.TaskStatus{
		TaskId: s.TaskId, State: s.State, Message: s.Message, AgentId: s.AgentId, Timestamp: s.Timestamp,
		ExecutorId: s.ExecutorId, Healthy: s.Healthy, Source: s.Source, Reason: s.Reason, Uuid: s.Uuid,
		Labels: s.Labels, ContainerStatus: s.ContainerStatus, UnreachableTime: s.UnreachableTime,
		CheckStatus: s.CheckStatus, Limitation: s.Limitation,
	}
}

func reasonOf(s *mesos.TaskStatus) mesos.TaskStatus_Reason {
	if s.Reason == nil {
		return -1
	}
	return s.GetReason()
}

func (c *Core) countEnd(t *task, source mesos.TaskStatus_Source, reason mesos.TaskStatus_Reason) {
	state := t.rec.State
	if int(state) < states {
		c.pub.counters.Terminal[state]++
		t.framework.rec.Counters.Terminal[state]++
	}
	c.pub.countReason(TaskEnd{State: state, Source: source, Reason: reason})
}

// masterStatus is a status that the master makes itself; it is never acknowledged.
func (c *Core) masterStatus(t *task, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) *mesos.TaskStatus {
	return &mesos.TaskStatus{
		TaskId:     t.rec.Base.TaskId,
		State:      state.Enum(),
		Message:    &message,
		Source:     mesos.TaskStatus_SOURCE_MASTER.Enum(),
		Reason:     reason.Enum(),
		AgentId:    t.rec.Base.AgentId,
		ExecutorId: t.rec.Base.ExecutorId,
		Timestamp:  ptr(seconds(c.now)),
	}
}

func acknowledge(a *agent, f *framework, id TaskID, uuid []byte) *link.FromMaster {
	return &link.FromMaster{Message: &link.FromMaster_AcknowledgeUpdate{AcknowledgeUpdate: &link.AcknowledgeUpdate{
		AgentId: agentID(a.id), FrameworkId: frameworkID(f.id), TaskId: taskID(id), Uuid: uuid}}}
}

// acknowledgeUpdate passes a framework's acknowledgement on; that of a terminal update ends
// the task's stay among the living.
func (c *Core) acknowledgeUpdate(f *framework, call *scheduler.Call_Acknowledge) {
	a := c.agents[AgentID(call.GetAgentId().GetValue())]
	if a == nil || a.link == nil {
		c.pub.counters.InvalidAcknowledgements++
		return
	}
	c.pub.counters.ValidAcknowledgements++
	id := TaskID(call.GetTaskId().GetValue())
	c.toAgent(a, acknowledge(a, f, id, call.GetUuid()))
	t := f.tasks[id]
	if t != nil && t.agent == a && Terminal(t.rec.StatusUpdateState) && bytes.Equal(t.rec.StatusUpdateUUID, call.GetUuid()) {
		c.removeTask(t)
	}
}
