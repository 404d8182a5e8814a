package e2e

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
)

// seen fails until the last status of a task is what accept takes.
func (s *small) seen(id string, accept func(*mesos.TaskStatus) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.last[id]; last == nil || !accept(last) {
		return fmt.Errorf("task %s: %v", id, last)
	}
	return nil
}

// checked is a task in a builtin image with a COMMAND check and a health check every 0.2 s.
func checked(name string, offer *mesos.Offer, script, check string, health *mesos.HealthCheck) *mesos.TaskInfo {
	health.DelaySeconds, health.IntervalSeconds = proto.Float64(0), proto.Float64(0.2)
	return &mesos.TaskInfo{
		Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: offer.AgentId,
		Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 64)},
		Command:   &mesos.CommandInfo{Value: &script},
		Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Mesos: &mesos.ContainerInfo_MesosInfo{
			Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: proto.String("builtin/shell")}}}},
		Check: &mesos.CheckInfo{
			Type: mesos.CheckInfo_COMMAND.Enum(), DelaySeconds: proto.Float64(0), IntervalSeconds: proto.Float64(0.2),
			Command: &mesos.CheckInfo_Command{Command: &mesos.CommandInfo{Value: &check}},
		},
		HealthCheck: health,
	}
}

// A group whose task is well, with an HTTP health check and a check of a file in its root; and
// another whose task serves nothing: it is killed for that, and says so, and its sibling goes
// with it without being called unhealthy.
func TestChecksOfRealContainers(t *testing.T) {
	needRoot(t)
	port := uint32(freePort(t))
	closed := uint32(freePort(t))
	d := startDev(t)
	pod := func(tasks func(*mesos.Offer) []*mesos.TaskInfo) *small {
		return startSmall(t, d, codec.Protobuf, func(offer *mesos.Offer, framework *mesos.FrameworkID) *mesos.Offer_Operation {
			return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP.Enum(), LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
				TaskGroup: &mesos.TaskGroupInfo{Tasks: tasks(offer)},
				Executor: &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT.Enum(), FrameworkId: framework,
					ExecutorId: &mesos.ExecutorID{Value: proto.String("pod")},
					Resources:  []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 16)}}}}
		})
	}
	well := pod(func(offer *mesos.Offer) []*mesos.TaskInfo {
		return []*mesos.TaskInfo{checked("well", offer, fmt.Sprintf("echo 3 > /code; httpd -p %d -h /", port), "exit $(cat /code)",
			&mesos.HealthCheck{Type: mesos.HealthCheck_HTTP.Enum(), GracePeriodSeconds: proto.Float64(60),
				Http: &mesos.HealthCheck_HTTPCheckInfo{Port: &port, Path: proto.String("/code")}})}
	})
	eventually(t, "the task is healthy and its check saw 3", 30*time.Second, func() error {
		return well.seen("well", func(s *mesos.TaskStatus) bool {
			return s.GetHealthy() && s.GetState() == mesos.TaskState_TASK_RUNNING && s.GetCheckStatus().GetCommand().GetExitCode() == 3
		})
	})
	ill := pod(func(offer *mesos.Offer) []*mesos.TaskInfo {
		health := func(port uint32, grace float64) *mesos.HealthCheck {
			return &mesos.HealthCheck{Type: mesos.HealthCheck_TCP.Enum(), Tcp: &mesos.HealthCheck_TCPCheckInfo{Port: &port},
				GracePeriodSeconds: &grace, ConsecutiveFailures: proto.Uint32(2)}
		}
		return []*mesos.TaskInfo{checked("ill", offer, "sleep 1000", "true", health(closed, 0)),
			checked("sibling", offer, "sleep 1000", "true", health(closed, 600))}
	})
	killed := func(s *mesos.TaskStatus) bool { return s.GetState() == mesos.TaskState_TASK_KILLED }
	eventually(t, "the ill task is killed", 30*time.Second, func() error {
		return ill.seen("ill", func(s *mesos.TaskStatus) bool { return killed(s) && s.Healthy != nil && !s.GetHealthy() })
	})
	eventually(t, "its sibling too, and is not called unhealthy", 30*time.Second, func() error {
		return ill.seen("sibling", func(s *mesos.TaskStatus) bool { return killed(s) && s.Healthy == nil })
	})
	if err := well.reached("well", mesos.TaskState_TASK_RUNNING); err != nil {
		t.Error(err)
	}
}
