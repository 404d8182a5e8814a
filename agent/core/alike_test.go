package core_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
)

// pastOf is a completed executor with tasks, of which the last differs from the others in all that tasks can share.
func pastOf(framework, executor string, tasks int) *core.CompletedExecutor {
	done := &core.CompletedExecutor{Kind: core.Custom, Framework: proto.CloneOf(frameworkInfo(framework)),
		Run:  core.Run{Key: core.ExecutorKey{Framework: core.FrameworkID(framework), Executor: core.ExecutorID(executor)}, Container: containerizer.ID(framework + executor)},
		Info: executorInfo(mesos.ExecutorInfo_CUSTOM, framework, executor)}
	for i := range tasks {
		info, owner, container := taskInfo(fmt.Sprintf("%s-%s-%d", framework, executor, i)), executor, executor
		if i == tasks-1 {
			owner, container = "another", "another"
			*info.Resources[0].Scalar.Value = 7
		}
		t := &mesos.Task{Name: info.Name, TaskId: info.TaskId, AgentId: info.AgentId, FrameworkId: &mesos.FrameworkID{Value: &framework},
			ExecutorId: &mesos.ExecutorID{Value: &owner}, Resources: info.Resources, State: mesos.TaskState_TASK_FINISHED.Enum()}
		for _, state := range []mesos.TaskState{mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_FINISHED} {
			t.Statuses = append(t.Statuses, proto.CloneOf(&mesos.TaskStatus{TaskId: t.TaskId, AgentId: t.AgentId, ExecutorId: t.ExecutorId, State: &state,
				ContainerStatus: &mesos.ContainerStatus{ContainerId: &mesos.ContainerID{Value: &container}}}))
		}
		done.Tasks = append(done.Tasks, proto.CloneOf(t))
	}
	return done
}

func frameworkInfo(id string) *mesos.FrameworkInfo { return framework(id) }

// Tasks that share say what they said before.
func TestTasksOfThePastShareWhatTheySay(t *testing.T) {
	want, got := pastOf("f", "e", 4).Tasks, pastOf("f", "e", 4).Tasks
	core.Share(got)
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("task %d is %v, want %v", i, got[i], want[i])
		}
	}
	first, second, last := got[0], got[1], got[3]
	if second.Resources[0] != first.Resources[0] || second.FrameworkId != first.FrameworkId || second.ExecutorId != first.ExecutorId ||
		second.Statuses[0].TaskId != second.TaskId || second.Statuses[1].ContainerStatus != first.Statuses[0].ContainerStatus {
		t.Errorf("tasks that say the same keep messages of their own")
	}
	if last.Resources[0] == first.Resources[0] || last.ExecutorId == first.ExecutorId {
		t.Errorf("a task that differs shares")
	}
}

// TestThePastOfAnAgentIsBounded has a past of more tasks than an agent lists: the oldest executors of completed
// frameworks go, on disk too; and a master is told of no more than it lists.
func TestThePastOfAnAgentIsBounded(t *testing.T) {
	w := newWorld(t)
	w.disk.Apply(core.WriteAgent{Info: &mesos.AgentInfo{Hostname: proto.String("host"), Port: proto.Int32(5051), Resources: machine(), Id: &mesos.AgentID{Value: str("S0")}}})
	tasks := pastOf("any", "any", 200).Tasks // whose they are does not matter here
	for f := range 6 {
		for e := range 100 {
			done := pastOf(fmt.Sprintf("f%d", f), fmt.Sprintf("e%d", e), 0)
			done.Tasks = tasks
			w.disk.Apply(core.WriteCompleted{Completed: done})
		}
	}
	w.do([]string{"start"})
	listed, executors := 0, 0
	for _, f := range w.core.Snapshot().Completed {
		for _, e := range f.Completed {
			executors++
			listed += len(e.Completed)
		}
	}
	if listed != 100_000 || len(w.disk.Completed) != executors {
		t.Errorf("%d tasks of %d executors are listed and %d executors are on disk, want 100,000 of 500", listed, executors, len(w.disk.Completed))
	}
	if oldest := w.disk.Completed[0].Run.Key.Framework; oldest != "f1" {
		t.Errorf("the oldest is of %s, want f1", oldest)
	}
	w.link++
	for _, send := range w.core.Step(w.now, core.LinkOpened{Link: w.link}).Send {
		if m, ok := send.(core.ToMaster); ok {
			for _, f := range m.Message.GetReregister().GetCompletedFrameworks() {
				if n := len(f.GetTasks()); n > 1000 {
					t.Errorf("the master is told of %d tasks of %s", n, f.GetFramework().GetId().GetValue())
				}
			}
		}
	}
}
