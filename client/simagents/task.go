package simagents

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
)

// task is a launched task, or one that the agent came with and that has something to say.
type task struct {
	framework *mesos.FrameworkInfo
	info      *mesos.TaskInfo // nil for one that the agent came with
	// waiting are the updates without acknowledgement, oldest first; sent says whether the first is out.
	waiting []*mesos.TaskStatus
	state   mesos.TaskState
}

// TaskID is the ID of a task that the agent of that number comes with.
func TaskID(agent, task int) string { return fmt.Sprintf("simulated-%d-%d", agent, task) }

// brought are the tasks that the agent came with and still has.
func (a *agent) brought() []*mesos.Task {
	list := make([]*mesos.Task, 0, a.count())
	for n := range a.count() {
		key := a.broughtKey(n)
		if a.ended[key] {
			continue
		}
		state := mesos.TaskState_TASK_RUNNING
		if t := a.tasks[key]; t != nil {
			state = t.state
		}
		list = append(list, a.fleet.made(key, a.ownerOf(n), a.info.Id, state))
	}
	return list
}

// completed are tasks of each framework that ended before.
func (f *Fleet) completed(agent *mesos.AgentID) (all []*link.CompletedFramework) {
	for i, info := range f.cfg.Frameworks {
		if f.cfg.Completed == 0 {
			break
		}
		done := &link.CompletedFramework{Framework: info}
		for n := range f.cfg.Completed {
			key := taskKey{info.GetId().GetValue(), fmt.Sprintf("completed-%d-%d", i, n)}
			done.Tasks = append(done.Tasks, f.made(key, info, agent, mesos.TaskState_TASK_FINISHED))
		}
		all = append(all, done)
	}
	return all
}

// made is a task as an agent tells of one that has been in a state for a while.
func (f *Fleet) made(key taskKey, owner *mesos.FrameworkInfo, agent *mesos.AgentID, state mesos.TaskState) *mesos.Task {
	id := &mesos.TaskID{Value: &key.task}
	return &mesos.Task{Name: proto.String("simulated"), TaskId: id, FrameworkId: owner.Id, AgentId: agent, State: state.Enum(),
		StatusUpdateState: state.Enum(), Resources: allocated(f.cfg.TaskResources, owner),
		Statuses: []*mesos.TaskStatus{{TaskId: id, State: state.Enum(), AgentId: agent,
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Timestamp: proto.Float64(f.began)}}}
}

// count is how many tasks the agent came with.
func (a *agent) count() int {
	if a.number == 0 && a.fleet.cfg.Completed > 0 {
		return 0
	}
	return a.fleet.cfg.Tasks
}

func (a *agent) broughtKey(n int) taskKey {
	return taskKey{a.ownerOf(n).GetId().GetValue(), TaskID(a.number, n)}
}

// ownerOf spreads the tasks of all agents evenly.
func (a *agent) ownerOf(n int) *mesos.FrameworkInfo {
	cfg := &a.fleet.cfg
	return cfg.Frameworks[(a.number*cfg.Tasks+n)%len(cfg.Frameworks)]
}

// allocated are the resources as a framework's first role has them.
func allocated(resources []*mesos.Resource, f *mesos.FrameworkInfo) []*mesos.Resource {
	role := "*"
	if roles := f.GetRoles(); len(roles) > 0 {
		role = roles[0]
	}
	out := make([]*mesos.Resource, len(resources))
	for i, r := range resources {
		out[i] = proto.CloneOf(r)
		out[i].AllocationInfo = &mesos.Resource_AllocationInfo{Role: &role}
	}
	return out
}

// proto is a launched task as a returning agent tells of it.
func (t *task) proto(agent *mesos.AgentID) *mesos.Task {
	m := &mesos.Task{Name: t.info.Name, TaskId: t.info.TaskId, FrameworkId: t.framework.Id, AgentId: agent,
		State: t.state.Enum(), Resources: t.info.Resources, Labels: t.info.Labels, Discovery: t.info.Discovery,
		Container: t.info.Container, StatusUpdateState: t.state.Enum()}
	if t.info.Executor != nil {
		m.ExecutorId = t.info.Executor.ExecutorId
	}
	if len(t.waiting) > 0 {
		m.StatusUpdateState, m.StatusUpdateUuid = t.waiting[0].State, t.waiting[0].Uuid
	}
	return m
}

func (a *agent) launch(framework *mesos.FrameworkInfo, info *mesos.TaskInfo) {
	key := taskKey{framework.GetId().GetValue(), info.GetTaskId().GetValue()}
	if a.tasks[key] != nil {
		return
	}
	t := &task{framework: framework, info: info, state: mesos.TaskState_TASK_STAGING}
	a.tasks[key] = t
	if a.draining {
		a.update(key, t, mesos.TaskState_TASK_LOST, mesos.TaskStatus_REASON_AGENT_DRAINING.Enum())
		return
	}
	a.after(a.fleet.cfg.Latency, key, t, func() {
		a.update(key, t, mesos.TaskState_TASK_RUNNING, nil)
		if life := a.fleet.cfg.Lifetime; life > 0 {
			a.after(life, key, t, func() { a.update(key, t, mesos.TaskState_TASK_FINISHED, nil) })
		}
	})
}

// after does something later if the task still lives then; at once when later is zero.
func (a *agent) after(later time.Duration, key taskKey, t *task, do func()) {
	if later <= 0 {
		do()
		return
	}
	time.AfterFunc(later, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.tasks[key] == t && !ended(t.state) {
			do()
		}
	})
}

func ended(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLING:
		return false
	}
	return true
}

// update queues a state; it leaves when those before it are acknowledged.
func (a *agent) update(key taskKey, t *task, state mesos.TaskState, reason *mesos.TaskStatus_Reason) {
	id := uuid.New()
	t.state = state
	t.waiting = append(t.waiting, &mesos.TaskStatus{TaskId: &mesos.TaskID{Value: &key.task}, State: state.Enum(),
		AgentId: a.info.Id, Uuid: id[:], Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Reason: reason,
		Timestamp: proto.Float64(float64(time.Now().UnixNano()) / 1e9)})
	if len(t.waiting) == 1 {
		a.sendFront(key, t)
	}
}

func (a *agent) sendFront(key taskKey, t *task) {
	if len(t.waiting) == 0 {
		return
	}
	a.send(&link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
		FrameworkId: &mesos.FrameworkID{Value: &key.framework}, AgentId: a.info.Id,
		LatestState: t.state.Enum(), Status: t.waiting[0]}}})
}

// repeat sends again what waits for an acknowledgement.
func (a *agent) repeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, t := range a.tasks {
		a.sendFront(key, t)
	}
}

func (a *agent) acknowledge(m *link.AcknowledgeUpdate) {
	key := taskKey{m.GetFrameworkId().GetValue(), m.GetTaskId().GetValue()}
	t := a.tasks[key]
	if t == nil || len(t.waiting) == 0 || string(t.waiting[0].Uuid) != string(m.GetUuid()) {
		return
	}
	t.waiting = t.waiting[1:]
	if told := a.fleet.cfg.Acknowledged; told != nil {
		told(key.task)
	}
	switch {
	case len(t.waiting) > 0:
		a.sendFront(key, t)
	case ended(t.state):
		delete(a.tasks, key)
		if t.info == nil {
			a.ended[key] = true
		}
	}
}

// find is the task, one of those that the agent came with included; nil: it is not here.
func (a *agent) find(key taskKey) *task {
	if t := a.tasks[key]; t != nil {
		return t
	}
	var agent, n int
	if count, _ := fmt.Sscanf(key.task, "simulated-%d-%d", &agent, &n); count != 2 || agent != a.number ||
		n < 0 || n >= a.count() || a.broughtKey(n) != key || a.ended[key] {
		return nil
	}
	t := &task{framework: a.ownerOf(n), state: mesos.TaskState_TASK_RUNNING}
	a.tasks[key] = t
	return t
}

func (a *agent) kill(key taskKey) {
	t := a.find(key)
	switch {
	case t == nil:
		a.answerUnknown(key)
	case !ended(t.state):
		a.update(key, t, mesos.TaskState_TASK_KILLED, nil)
	}
}

// answerUnknown tells of a task that is not here.
func (a *agent) answerUnknown(key taskKey) {
	if a.find(key) != nil {
		return
	}
	t := &task{state: mesos.TaskState_TASK_LOST}
	a.tasks[key] = t
	a.update(key, t, mesos.TaskState_TASK_LOST, mesos.TaskStatus_REASON_RECONCILIATION.Enum())
}

// updateBrought sends a state of a task that the agent came with.
func (a *agent) updateBrought(n int, state mesos.TaskState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := a.broughtKey(n)
	if t := a.find(key); t != nil && !ended(t.state) {
		a.update(key, t, state, nil)
	}
}

// forget drops the tasks of a framework that was torn down.
func (a *agent) forget(framework string) {
	for key := range a.tasks {
		if key.framework == framework {
			delete(a.tasks, key)
		}
	}
	for n := range a.count() {
		if key := a.broughtKey(n); key.framework == framework {
			a.ended[key] = true
		}
	}
}

// follow drains, or stops to, as the master says.
func (a *agent) follow(config *mesos.DrainConfig) {
	a.drained = false
	if config == nil {
		a.draining = false
		return
	}
	a.drain()
}

// tellDrained reports the end of a drain; what it came with is among its tasks since the drain began.
func (a *agent) tellDrained() {
	if !a.draining || a.drained || len(a.tasks) > 0 {
		return
	}
	a.drained = true
	a.send(&link.FromAgent{Message: &link.FromAgent_Drained{Drained: &link.Drained{AgentId: a.info.Id}}})
}

// drain kills everything and launches nothing more.
func (a *agent) drain() {
	a.draining = true
	for n := range a.count() {
		a.find(a.broughtKey(n))
	}
	for key, t := range a.tasks {
		if !ended(t.state) {
			a.update(key, t, mesos.TaskState_TASK_KILLED, mesos.TaskStatus_REASON_AGENT_DRAINING.Enum())
		}
	}
}

// refuseOperation answers an operation: a simulated agent has no disk to keep it on.
func (a *agent) refuseOperation(m *link.ApplyOperation) {
	id := uuid.New()
	status := &mesos.OperationStatus{State: mesos.OperationState_OPERATION_ERROR.Enum(), AgentId: a.info.Id,
		OperationId: m.GetOperation().GetId(), Uuid: &mesos.UUID{Value: id[:]},
		Message: proto.String("Operation " + m.GetOperation().GetType().String() + " is not supported by a simulated agent")}
	a.send(&link.FromAgent{Message: &link.FromAgent_OperationUpdate{OperationUpdate: &link.OperationUpdate{
		FrameworkId: m.FrameworkId, AgentId: a.info.Id, OperationUuid: m.OperationUuid, Status: status, LatestStatus: status}}})
}
