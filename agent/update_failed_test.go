package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// rigid are containers whose limits cannot be changed once refuse is set.
type rigid struct {
	*fakecontainers.Machine
	refuse atomic.Bool
}

func (r *rigid) Update(ctx context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	if r.refuse.Load() {
		return errors.New("write cpu.max:\n invalid argument")
	}
	return r.Machine.Update(ctx, id, resources, limits)
}

func TestTasksOfAContainerThatCannotBeUpdatedAreLost(t *testing.T) {
	machine, m := &rigid{Machine: fakecontainers.New()}, newMaster(t)
	a := startIn(t, t.TempDir(), 0, Deps{Containerizer: machine, Dialer: m})
	m.register()
	run := func(id string) {
		m.send(&link.FromMaster{Message: &link.FromMaster_RunTaskGroup{RunTaskGroup: &link.RunTaskGroup{
			Framework: &mesos.FrameworkInfo{User: proto.String(""), Name: proto.String("f"), Id: &mesos.FrameworkID{Value: proto.String("f")}},
			Executor: &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT.Enum(), ExecutorId: &mesos.ExecutorID{Value: proto.String("e")},
				FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}},
			TaskGroup: &mesos.TaskGroupInfo{Tasks: []*mesos.TaskInfo{commandTask(id, "serve")}},
		}}})
	}
	run("t1")
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	machine.refuse.Store(true)
	run("t2")
	last := m.update("t1", mesos.TaskState_TASK_LOST)
	if last.GetReason() != mesos.TaskStatus_REASON_CONTAINER_UPDATE_FAILED || last.GetSource() != mesos.TaskStatus_SOURCE_AGENT ||
		last.GetMessage() != "Failed to update resources for container: write cpu.max: invalid argument" {
		t.Errorf("got %v", last)
	}
	a.stop()
}
