package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
)

func TestKillOfOneTaskOfAPodEndsItsSibling(t *testing.T) {
	needRoot(t)
	d := startDev(t)
	for _, media := range []codec.MediaType{codec.Protobuf, codec.JSON} {
		t.Run(string(media), func(t *testing.T) {
			s := startSmall(t, d, media, func(offer *mesos.Offer, framework *mesos.FrameworkID) *mesos.Offer_Operation {
				group := &mesos.TaskGroupInfo{}
				for _, name := range []string{"a", "b"} {
					group.Tasks = append(group.Tasks, &mesos.TaskInfo{Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: offer.AgentId,
						Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}, Command: &mesos.CommandInfo{Value: proto.String("sleep 1000")}})
				}
				return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP.Enum(), LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
					TaskGroup: group, Executor: &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT.Enum(), FrameworkId: framework,
						ExecutorId: &mesos.ExecutorID{Value: proto.String("pod")},
						Resources:  []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 16)}}}}
			})
			for _, id := range []string{"a", "b"} {
				eventually(t, "it runs", 15*time.Second, func() error { return s.reached(id, mesos.TaskState_TASK_RUNNING) })
			}
			if err := s.client.Call(t.Context(), &api.Call{Type: api.Call_KILL.Enum(), Kill: &api.Call_Kill{
				TaskId: &mesos.TaskID{Value: proto.String("a")}}}); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"a", "b"} {
				eventually(t, "it is killed", 15*time.Second, func() error { return s.reached(id, mesos.TaskState_TASK_KILLED) })
			}
		})
	}
}

// Each task of a pod has its own root, sandbox, and with share_cgroups=false its own limits: one
// that outgrows them fails alone, its sibling is killed by the policy of the group, and tasks/
// names the sandboxes.
func TestTasksOfAPodAreTheirOwn(t *testing.T) {
	needRoot(t)
	d := startDev(t)
	own := func(name, script string, offer *mesos.Offer) *mesos.TaskInfo {
		return &mesos.TaskInfo{
			Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: offer.AgentId,
			Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)},
			Limits:    map[string]*mesos.Value_Scalar{"mem": {Value: proto.Float64(48)}},
			Command:   &mesos.CommandInfo{Value: &script},
			Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(),
				LinuxInfo: &mesos.LinuxInfo{ShareCgroups: proto.Bool(false)},
				Mesos: &mesos.ContainerInfo_MesosInfo{
					Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: proto.String("builtin/shell")}}}},
		}
	}
	s := startSmall(t, d, codec.Protobuf, func(offer *mesos.Offer, framework *mesos.FrameworkID) *mesos.Offer_Operation {
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP.Enum(), LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
			TaskGroup: &mesos.TaskGroupInfo{Tasks: []*mesos.TaskInfo{
				own("big", "echo mine > /own; ls /; sleep 1; stress --mem 200", offer),
				own("calm", "test -e /own && echo not mine; echo calm > $MESOS_SANDBOX/file; sleep 1000", offer)}},
			Executor: &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT.Enum(), FrameworkId: framework,
				ExecutorId: &mesos.ExecutorID{Value: proto.String("pod")},
				Resources:  []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 16)}}}}
	})
	eventually(t, "the big task fails for its memory", 30*time.Second, func() error {
		return s.seen("big", func(s *mesos.TaskStatus) bool {
			return s.GetState() == mesos.TaskState_TASK_FAILED && s.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY
		})
	})
	eventually(t, "its sibling is killed", 30*time.Second, func() error { return s.reached("calm", mesos.TaskState_TASK_KILLED) })
	files := map[string]string{"big/stdout": "own\n", "calm/file": "calm\n"}
	for name, want := range files {
		found, err := filepath.Glob(d.state + "/agents/1/slaves/*/frameworks/*/executors/pod/runs/latest/tasks/" + name)
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d files: %v", len(found), found)
		}
		if err != nil {
			t.Fatalf("tasks/%s: %v", name, err)
		}
		if data, err := os.ReadFile(found[0]); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("tasks/%s: %q, %v; want %q in it", name, data, err, want)
		}
	}
	out, err := filepath.Glob(d.state + "/agents/1/slaves/*/frameworks/*/executors/pod/runs/latest/tasks/calm/stdout")
	if err != nil || len(out) != 1 {
		t.Fatalf("tasks/calm/stdout: %v, %v", out, err)
	}
	if data, err := os.ReadFile(out[0]); err != nil || len(data) > 0 {
		t.Errorf("the sibling sees the other's root: %q, %v", data, err)
	}
}

func TestATaskPastItsCompletionTimeFails(t *testing.T) {
	needRoot(t)
	s := startSmall(t, startDev(t), codec.JSON, func(offer *mesos.Offer, _ *mesos.FrameworkID) *mesos.Offer_Operation {
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
			TaskInfos: []*mesos.TaskInfo{{Name: proto.String("long"), TaskId: &mesos.TaskID{Value: proto.String("long")}, AgentId: offer.AgentId,
				Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}, Command: &mesos.CommandInfo{Value: proto.String("trap '' TERM; while :; do sleep 1; done")},
				MaxCompletionTime: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(500 * time.Millisecond))},
				KillPolicy:        &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(time.Second))}}}}}}
	})
	began := time.Time{}
	eventually(t, "it fails after its grace period", 30*time.Second, func() error {
		if began.IsZero() && s.reached("long", mesos.TaskState_TASK_RUNNING) == nil {
			began = time.Now()
		}
		return s.seen("long", func(s *mesos.TaskStatus) bool {
			return s.GetState() == mesos.TaskState_TASK_FAILED && s.GetReason() == mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED
		})
	})
	if took := time.Since(began); !began.IsZero() && took < time.Second {
		t.Errorf("SIGKILL came after %s, before the grace period had ended", took)
	}
}
