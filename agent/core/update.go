package core

import (
	"bytes"
	"errors"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/statusupdates"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/internal/planted"
)

// maxStatuses bounds the history that a Task carries.
const maxStatuses = 16

// maxKeptData bounds the data of a status that a Task carries, in bytes.
const maxKeptData = 1 << 10

func terminalState(state mesos.TaskState) bool { return statusupdates.Terminal(state) }

// agentStatus is a status that the agent itself makes.
func (c *Core) agentStatus(id string, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) *mesos.TaskStatus {
	uuid := c.config.NewUUID()
	status := &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: &id}, State: &state, Source: mesos.TaskStatus_SOURCE_AGENT.Enum(),
		Reason: &reason, AgentId: c.info.GetId(), Timestamp: c.seconds(), Uuid: uuid[:],
	}
	if message != "" {
		status.Message = &message
	}
	return status
}

func (c *Core) seconds() *float64 {
	s := math.Round(float64(c.now.UnixNano())/1e3) / 1e6
	return &s
}

// update handles an update by an executor, and acknowledges it once it is written.
func (c *Core) update(e *executorRun, status *mesos.TaskStatus) {
	t := e.tasks[TaskID(status.GetTaskId().GetValue())]
	if t == nil {
		c.debug("update of an unknown task", "task", status.GetTaskId().GetValue(), "executor", e.run.Key.Executor)
		c.counters.InvalidUpdates++
		c.acknowledgeToExecutor(e, status)
		return
	}
	status = c.fill(t, status)
	err := c.record(t, status)
	if err != nil && !errors.Is(err, statusupdates.ErrDuplicate) {
		c.debug("update ignored", "task", taskID(t.info), "reason", err)
	}
	c.acknowledgeToExecutor(e, status)
}

func (c *Core) acknowledgeToExecutor(e *executorRun, status *mesos.TaskStatus) {
	c.deliver(e, &execapi.Event{
		Type:         execapi.Event_ACKNOWLEDGED.Enum(),
		Acknowledged: &execapi.Event_Acknowledged{TaskId: status.GetTaskId(), Uuid: status.GetUuid()},
	})
}

// fill adds what an executor need not know.
func (c *Core) fill(t *task, in *mesos.TaskStatus) *mesos.TaskStatus {
	status := proto.CloneOf(in)
	status.AgentId, status.ExecutorId = c.info.GetId(), t.exec.info.GetExecutorId()
	if status.Source == nil {
		status.Source = mesos.TaskStatus_SOURCE_EXECUTOR.Enum()
	}
	if status.Timestamp == nil {
		status.Timestamp = c.seconds()
	}
	if t.exec.kind == Command && status.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
		// The container of such a task is its executor's: the agent ended both, and says so.
		status.Source, status.ContainerStatus = mesos.TaskStatus_SOURCE_AGENT.Enum(), nil
		return status
	}
	status.ContainerStatus = c.containerStatus(t, status.GetContainerStatus())
	return status
}

// containerStatus describes the container of a task; what the executor says wins.
func (c *Core) containerStatus(t *task, said *mesos.ContainerStatus) *mesos.ContainerStatus {
	out := &mesos.ContainerStatus{}
	id := t.container
	if id == "" {
		id = t.exec.run.Container
	}
	if have := c.containers[id]; have != nil {
		if have.status != nil {
			out = proto.CloneOf(have.status)
		}
		if have.pid > 0 && out.ExecutorPid == nil {
			pid := uint32(have.pid)
			out.ExecutorPid = &pid
		}
	}
	if said != nil {
		proto.Merge(out, &mesos.ContainerStatus{ExecutorPid: said.ExecutorPid, CgroupInfo: said.CgroupInfo})
		if len(said.GetNetworkInfos()) > 0 {
			out.NetworkInfos = said.GetNetworkInfos()
		}
	}
	out.ContainerId = id.Proto()
	if len(out.NetworkInfos) == 0 && c.config.IP != "" {
		out.NetworkInfos = []*mesos.NetworkInfo{c.hostNetwork()}
	}
	return out
}

// hostNetwork is what is told of a container on the host's network.
func (c *Core) hostNetwork() *mesos.NetworkInfo {
	info := new(mesos.NetworkInfo)
	for _, ip := range []string{c.config.IP, c.config.IP6} {
		protocol := mesos.NetworkInfo_IPv4
		if strings.Contains(ip, ":") {
			protocol = mesos.NetworkInfo_IPv6
		}
		if ip != "" {
			info.IpAddresses = append(info.IpAddresses, &mesos.NetworkInfo_IPAddress{Protocol: &protocol, IpAddress: &ip})
		}
	}
	return info
}

// record writes an update down, queues it for the master and changes the task.
func (c *Core) record(t *task, status *mesos.TaskStatus) error {
	key := TaskKey{t.exec.run.Key.Framework, taskID(t.info)}
	if t.exec.framework.terminating {
		return nil // nobody would acknowledge it
	}
	status = c.underPreemption(t, c.underDrain(t, status))
	if err := c.updates.Add(c.now, streamOf(key), status); err != nil {
		return err
	}
	c.counters.ValidUpdates++
	write := WriteUpdate{Run: t.exec.run, Task: key.Task, Status: status}
	if planted.Active("agent-send-before-persist") {
		c.late = append(c.late, write)
	} else {
		c.persist(write)
	}
	c.apply(t, status)
	return nil
}

// apply makes the status the newest of the task.
func (c *Core) apply(t *task, status *mesos.TaskStatus) {
	kept := proto.CloneOf(status)
	if len(kept.Data) > maxKeptData {
		kept.Data = nil
	}
	next := copyTask(t.proto)
	statuses := t.proto.GetStatuses()
	if n := len(statuses); n > 0 && statuses[n-1].GetState() == status.GetState() {
		statuses = statuses[:n-1]
	}
	if len(statuses) >= maxStatuses {
		statuses = statuses[1:]
	}
	next.Statuses = append(statuses[:len(statuses):len(statuses)], kept)
	next.State = status.State
	t.proto = next
	c.refreshFront(t)
	if terminalState(status.GetState()) {
		c.count(status.GetState())
		if t.exec.kind != Command && t.exec.state == running {
			c.resize(t.exec)
		}
	}
}

// copyTask copies a Task that others may be reading; its parts are shared, and never
// changed.
func copyTask(t *mesos.Task) *mesos.Task {
	return &mesos.Task{
		Name: t.Name, TaskId: t.TaskId, FrameworkId: t.FrameworkId, ExecutorId: t.ExecutorId, AgentId: t.AgentId,
		State: t.State, StatusUpdateState: t.StatusUpdateState, StatusUpdateUuid: t.StatusUpdateUuid,
		User: t.User, HealthCheck: t.HealthCheck, KillPolicy: t.KillPolicy,
		Resources: t.Resources, Container: t.Container, Statuses: t.Statuses,
		Labels: t.Labels, Discovery: t.Discovery, Limits: t.Limits,
	}
}

// refreshFront notes the oldest update without acknowledgement, for a new master.
func (c *Core) refreshFront(t *task) {
	front := c.updates.Front(streamOf(TaskKey{t.exec.run.Key.Framework, taskID(t.info)}))
	if front == nil {
		return
	}
	if t.proto.GetStatusUpdateState() == front.GetState() && bytes.Equal(t.proto.GetStatusUpdateUuid(), front.GetUuid()) {
		return
	}
	next := copyTask(t.proto)
	next.StatusUpdateState, next.StatusUpdateUuid = front.State, front.GetUuid()
	t.proto = next
}

func (c *Core) count(state mesos.TaskState) {
	switch state {
	case mesos.TaskState_TASK_FINISHED:
		c.counters.Finished++
	case mesos.TaskState_TASK_FAILED:
		c.counters.Failed++
	case mesos.TaskState_TASK_KILLED:
		c.counters.Killed++
	default:
		c.counters.Lost++
	}
}

// sendDue sends what the streams have to say.
func (c *Core) sendDue() {
	if c.session.phase != joined {
		return
	}
	for _, due := range c.updates.Due(c.now) {
		framework, latest := due.Key.Framework, due.Latest
		c.toMaster(&link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
			FrameworkId: &mesos.FrameworkID{Value: &framework}, ExecutorId: due.Status.GetExecutorId(),
			AgentId: c.info.GetId(), Status: due.Status, LatestState: &latest,
		}}})
	}
}

func (c *Core) executorMessage(e *executorRun, data []byte) {
	c.counters.ValidMessages++
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_ExecutorMessage{ExecutorMessage: &link.ExecutorMessage{
		FrameworkId: e.framework.info.GetId(), ExecutorId: e.info.GetExecutorId(),
		AgentId: c.info.GetId(), Data: data,
	}}})
}
