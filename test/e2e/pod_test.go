package e2e

import (
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
