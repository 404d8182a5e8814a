package checkpoint

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/vfs"
)

const boot = "boot-1"

func run(executor, container string) core.Run {
	return core.Run{
		Key:       core.ExecutorKey{Framework: "f", Executor: core.ExecutorID(executor)},
		Container: containerizer.ID(container),
	}
}

func status(task, uuid string, state mesos.TaskState) *mesos.TaskStatus {
	return &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: &task}, State: &state, Uuid: []byte(uuid + strings.Repeat(".", 16-len(uuid))),
	}
}

func task(id string) *mesos.TaskInfo {
	return &mesos.TaskInfo{Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("S0")}}
}

func completed(r core.Run, framework *mesos.FrameworkInfo, at int64) *core.CompletedExecutor {
	id, state := string(r.Key.Executor), mesos.TaskState_TASK_FINISHED
	return &core.CompletedExecutor{Run: r, Kind: core.Command, Framework: framework, At: time.Unix(at, 5).UTC(),
		Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: &id}},
		Tasks: []*mesos.Task{{Name: &id, TaskId: &mesos.TaskID{Value: &id}, FrameworkId: framework.Id,
			AgentId: &mesos.AgentID{Value: proto.String("S0")}, State: &state}}}
}

// story is the life of an agent that runs and forgets tasks.
func story() []core.Write {
	agent := &mesos.AgentInfo{Hostname: proto.String("h"), Id: &mesos.AgentID{Value: proto.String("S0")}}
	framework := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Id: &mesos.FrameworkID{Value: proto.String("f")}}
	writes := []core.Write{core.WriteAgent{Info: agent}, core.WriteFramework{Info: framework}}
	for i := range 3 {
		id := fmt.Sprintf("t%d", i)
		r := run(id, "c"+id)
		first := status(id, "u1"+id, mesos.TaskState_TASK_STARTING)
		last := status(id, "u2"+id, mesos.TaskState_TASK_FINISHED)
		writes = append(writes,
			core.WriteExecutor{Run: r, Kind: core.Command, Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: &id}}},
			core.WriteTask{Run: r, Info: task(id)},
			core.WriteUpdate{Run: r, Task: core.TaskID(id), Status: first},
			core.WriteExecutorState{Run: r, State: []byte("state of " + id)},
			core.WriteAcknowledged{Run: r, Task: core.TaskID(id), UUID: first.GetUuid()},
			core.WriteUpdate{Run: r, Task: core.TaskID(id), Status: last},
		)
		if i > 0 {
			continue
		}
		writes = append(writes, core.WriteEnded{Run: r},
			core.WriteAcknowledged{Run: r, Task: core.TaskID(id), UUID: last.GetUuid()},
			core.RemoveTask{Run: r, Task: core.TaskID(id)},
			core.WriteCompleted{Completed: completed(r, framework, 1)}, core.RemoveExecutor{Run: r},
			core.WriteCompleted{Completed: completed(run("b", "cb"), framework, 2)},
			core.ForgetCompleted{Container: "cb"},
		)
	}
	custom := run("x", "cx")
	writes = append(writes, core.WriteExecutor{Run: custom, Kind: core.Custom, Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("x")}}})
	var past []*mesos.Task
	for _, id := range []string{"p1", "p2", "p3", "p4"} {
		writes = append(writes, core.WriteTask{Run: custom, Info: task(id)},
			core.WriteUpdate{Run: custom, Task: core.TaskID(id), Status: status(id, "u"+id, mesos.TaskState_TASK_FINISHED)})
		past = append(past, completed(run(id, id), framework, 1).Tasks[0])
	}
	return append(writes,
		core.CompleteTask{Run: custom, Task: past[0]}, core.CompleteTask{Run: custom, Task: past[1]},
		core.CompleteTask{Run: custom, Task: past[2], Kept: past[1:3]}, core.CompleteTask{Run: custom, Task: past[3]},
		core.WriteCause{Run: custom, Cause: &core.Cause{Reason: mesos.TaskStatus_REASON_CONTAINER_PREEMPTED, Message: "why", State: mesos.TaskState_TASK_GONE}},
		core.WriteCause{Run: run("t2", "ct2"), Cause: &core.Cause{Reason: mesos.TaskStatus_REASON_CONTAINER_UPDATE_FAILED}},
		core.WriteDrain{Config: &mesos.DrainConfig{MarkGone: proto.Bool(true)}},
		core.WriteResources{Resources: []*mesos.Resource{volume("v")}, Operations: []*mesos.Operation{operation()}},
		core.WriteResources{Removing: []*mesos.Resource{volume("v")}},
	)
}

func open(t *testing.T, fs vfs.FS) (*Store, *core.State) {
	t.Helper()
	s := New(fs, Paths{Work: "/work"})
	state, warnings, err := s.Recover(Options{Strict: true, BootID: boot})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("recover: %v, warnings %v", err, warnings)
	}
	return s, state
}

func diff(a, b *core.State) string {
	return cmp.Diff(a, b, protocmp.Transform(), cmpopts.EquateEmpty())
}

func TestRecoverReadsWhatWasWritten(t *testing.T) {
	disk, want := vfs.NewMem(), &core.State{}
	s, _ := open(t, disk)
	for i, w := range story() {
		if err := s.Apply(w); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		want.Apply(w)
		if _, got := open(t, disk); diff(want, got) != "" {
			t.Fatalf("after write %d (%T), want - got +:\n%s", i, w, diff(want, got))
		}
	}
}

// Each write takes effect wholly or not at all, wherever in it the process dies.
func TestCrashAtEveryChange(t *testing.T) {
	crashes := 0
	for at := 1; ; at++ {
		disk := vfs.NewMem()
		s, _ := open(t, disk)
		disk.CrashAt(at)
		before, died := &core.State{}, false
		after := &core.State{}
		for _, w := range story() {
			after.Apply(w)
			if err := s.Apply(w); err != nil {
				if !errors.Is(err, vfs.ErrCrashed) {
					t.Fatal(err)
				}
				died = true
				break
			}
			before.Apply(w)
		}
		if !died {
			break
		}
		crashes++
		disk.Restart()
		_, got := open(t, disk)
		if was, is := diff(before, got), diff(after, got); was != "" && is != "" {
			t.Fatalf("crash in change %d: neither old\n%s\nnor new\n%s", at, was, is)
		}
	}
	if crashes < 50 {
		t.Errorf("only %d crash points", crashes)
	}
}

func TestStrictRefusesACorruptFileAndNamesIt(t *testing.T) {
	disk := vfs.NewMem()
	s, _ := open(t, disk)
	for _, w := range story() {
		if err := s.Apply(w); err != nil {
			t.Fatal(err)
		}
	}
	path := "/work/meta/slaves/S0/frameworks/f/executors/t1/runs/ct1/tasks/t1/task.updates"
	data, err := disk.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[12] ^= 0xff
	if err := disk.WriteFile(path, data); err != nil {
		t.Fatal(err)
	}
	_, _, err = New(disk, Paths{Work: "/work"}).Recover(Options{Strict: true, BootID: boot})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Fatalf("strict: %v, want ErrCorrupt naming %s", err, path)
	}
	state, warnings, err := New(disk, Paths{Work: "/work"}).Recover(Options{BootID: boot})
	if err != nil || len(warnings) != 1 || len(state.Frameworks[0].Executors) != 3 {
		t.Errorf("not strict: %v, %d warnings, state %v", err, len(warnings), state)
	}
}

func TestRebootIsNoticed(t *testing.T) {
	disk := vfs.NewMem()
	open(t, disk)
	state, _, err := New(disk, Paths{Work: "/work"}).Recover(Options{BootID: "boot-2"})
	if err != nil || !state.Rebooted {
		t.Errorf("rebooted %v, err %v; want true", state.Rebooted, err)
	}
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add(encodeRecord(recordAcknowledged, []byte("0123456789abcdef")))
	f.Add(encodeRecord(recordUpdate, marshal(status("t", "u", mesos.TaskState_TASK_RUNNING))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, good, _ := decodeRecords(data); good < 0 || good > len(data) {
			t.Fatalf("good %d of %d bytes", good, len(data))
		}
	})
}

func TestPathsStayInsideForAnyIdentifier(t *testing.T) {
	p := Paths{Work: "/w"}
	long := strings.Repeat("ü", 255)
	for _, path := range []string{
		p.Sandbox("S0", run(long, "c"), "c"), p.Sandbox("S0", run("e", "c"), "c.n.m"), p.task("S0", run("e", "c"), core.TaskID(long)),
	} {
		for _, part := range strings.Split(path, "/") {
			if len(part) > 255 {
				t.Errorf("%d bytes in one name of %s", len(part), path)
			}
		}
	}
	want := "/w/slaves/S0/frameworks/f/executors/e/runs/c/containers/n/containers/m"
	if got := p.Sandbox("S0", run("e", "c"), "c.n.m"); got != want {
		t.Errorf("nested sandbox %s, want %s", got, want)
	}
}

// Executors that are read side by side are found in the order of the directory, the newest run of each first.
func TestManyExecutorsAreReadInTheirOrder(t *testing.T) {
	disk, want := vfs.OS{}, &core.State{}
	s := New(disk, Paths{Work: t.TempDir()})
	if _, _, err := s.Recover(Options{BootID: boot}); err != nil {
		t.Fatal(err)
	}
	framework := &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n"), Id: &mesos.FrameworkID{Value: proto.String("f")}}
	writes := []core.Write{
		core.WriteAgent{Info: &mesos.AgentInfo{Hostname: proto.String("h"), Id: &mesos.AgentID{Value: proto.String("S0")}}},
		core.WriteFramework{Info: framework},
	}
	for i := range 3 * many {
		id := fmt.Sprintf("e%04d", i)
		for _, r := range []core.Run{run(id, "b-"+id), run(id, "a-"+id)} { // the second is the newest
			writes = append(writes, core.WriteExecutor{Run: r, Kind: core.Command, Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: &id}}},
				core.WriteTask{Run: r, Info: task(id)}, core.WriteUpdate{Run: r, Task: core.TaskID(id), Status: status(id, "1", mesos.TaskState_TASK_RUNNING)})
		}
	}
	for _, w := range writes {
		if err := s.Apply(w); err != nil {
			t.Fatal(err)
		}
		want.Apply(w)
	}
	got, warnings, err := s.Recover(Options{Strict: true, BootID: boot})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("recover: %v, warnings %v", err, warnings)
	}
	if d := diff(want, got); d != "" {
		t.Errorf("want - got +:\n%s", d)
	}
	broken := filepath.Join(s.paths.executor("S0", core.ExecutorKey{Framework: "f", Executor: "e0100"}), fileExecutorInfo)
	if err := disk.WriteFile(broken, []byte("\xff")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Recover(Options{Strict: true, BootID: boot}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), broken) {
		t.Errorf("a corrupt one among them: %v", err)
	}
	got, warnings, err = s.Recover(Options{BootID: boot})
	if err != nil || len(warnings) != 1 || len(got.Frameworks[0].Executors) != 2*(3*many-1) {
		t.Errorf("without --strict: %v, warnings %v", err, warnings)
	}
}
