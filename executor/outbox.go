package executor

import (
	"bytes"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
)

// Outbox holds the updates that the agent has not acknowledged, and the tasks of
// which it has acknowledged none.
type Outbox struct {
	config  Config
	updates []*mesos.TaskStatus
	tasks   []*mesos.TaskInfo
}

// Add queues an update of a task and puts its call into ready.
func (o *Outbox) Add(now time.Time, status *mesos.TaskStatus, ready *Ready) {
	id := o.config.NewUUID()
	source := mesos.TaskStatus_SOURCE_EXECUTOR
	seconds := float64(now.UnixMicro()) / 1e6
	status.Uuid, status.Source, status.Timestamp = id[:], &source, &seconds
	status.ExecutorId = &mesos.ExecutorID{Value: &o.config.ExecutorID}
	o.updates = append(o.updates, status)
	ready.Calls = append(ready.Calls, o.config.update(status))
}

// Acknowledge drops an update that the agent has written down.
func (o *Outbox) Acknowledge(task string, uuid []byte) {
	for i, u := range o.updates {
		if bytes.Equal(u.GetUuid(), uuid) {
			o.updates = append(o.updates[:i:i], o.updates[i+1:]...)
			break
		}
	}
	for i, t := range o.tasks {
		if t.GetTaskId().GetValue() == task {
			o.tasks = append(o.tasks[:i:i], o.tasks[i+1:]...)
			break
		}
	}
}

// Empty says whether all was acknowledged.
func (o *Outbox) Empty() bool { return len(o.updates) == 0 }

// Subscribe is the call that tells the agent what it may have missed.
func (o *Outbox) Subscribe() *execapi.Call {
	kind := execapi.Call_SUBSCRIBE
	subscribe := &execapi.Call_Subscribe{UnacknowledgedTasks: o.tasks}
	for _, u := range o.updates {
		subscribe.UnacknowledgedUpdates = append(subscribe.UnacknowledgedUpdates, &execapi.Call_Update{Status: u})
	}
	call := o.config.call(kind)
	call.Subscribe = subscribe
	return call
}

func (c Config) update(status *mesos.TaskStatus) *execapi.Call {
	call := c.call(execapi.Call_UPDATE)
	call.Update = &execapi.Call_Update{Status: status}
	return call
}

func (c Config) call(kind execapi.Call_Type) *execapi.Call {
	return &execapi.Call{
		Type:        &kind,
		FrameworkId: &mesos.FrameworkID{Value: &c.FrameworkID},
		ExecutorId:  &mesos.ExecutorID{Value: &c.ExecutorID},
	}
}
