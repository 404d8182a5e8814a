package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/testkit/enginekit"
)

// Two containerizers on one agent: a task of type DOCKER runs in a real Docker Engine, one of type
// MESOS in ours. The first is checked inside its container, survives the agent's kill, is entered and
// read through the master's port, and ends when it is told.
func TestTasksInADockerEngine(t *testing.T) {
	needRoot(t)
	engine := enginekit.Start(t)
	c := &cluster{t: t, masterPort: freePort(t), agentPort: freePort(t), masterDir: t.TempDir(), agentDir: t.TempDir()}
	flags := []string{"--containerizers=docker,mesos", "--docker_socket=" + engine.Socket, "--docker_remove_delay=0secs"}
	c.startMaster()
	c.startAgent(flags...)
	s := startSmall(t, &dev{master: c.addr()}, codec.JSON, func(offer *mesos.Offer, _ *mesos.FrameworkID) *mesos.Offer_Operation {
		task := func(name string, container *mesos.ContainerInfo) *mesos.TaskInfo {
			return &mesos.TaskInfo{Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: offer.AgentId, Container: container,
				Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)},
				Command:   &mesos.CommandInfo{Value: proto.String("echo started $MESOS_CONTAINER_NAME; sleep 1000")}}
		}
		docker := task("engine", &mesos.ContainerInfo{Type: mesos.ContainerInfo_DOCKER.Enum(), Docker: &mesos.ContainerInfo_DockerInfo{
			Image: proto.String(enginekit.Image), Network: mesos.ContainerInfo_DockerInfo_NONE.Enum()}})
		docker.HealthCheck = &mesos.HealthCheck{Type: mesos.HealthCheck_COMMAND.Enum(), DelaySeconds: proto.Float64(0), IntervalSeconds: proto.Float64(0.2),
			Command: &mesos.CommandInfo{Value: proto.String("test -d $MESOS_SANDBOX && test -x /bin/busybox")}}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
			TaskInfos: []*mesos.TaskInfo{docker, task("own", nil)}}}
	})
	for _, id := range []string{"engine", "own"} {
		eventually(t, id+" runs", 60*time.Second, func() error { return s.reached(id, mesos.TaskState_TASK_RUNNING) })
	}
	eventually(t, "the check passes in the container", 60*time.Second, func() error {
		return s.seen("engine", func(s *mesos.TaskStatus) bool { return s.GetHealthy() })
	})
	c.agent.stop(syscall.SIGKILL)
	c.startAgent(flags...)
	for _, command := range []struct {
		args []string
		want string
	}{
		{[]string{"exec", "engine", "--", "echo", "inside"}, "inside\n"},
		{[]string{"logs", "engine"}, "started mesos-"},
	} {
		eventually(t, fmt.Sprint(command.args), 30*time.Second, func() error {
			if code, out, errOut := c.agora(command.args...); code != 0 || !strings.HasPrefix(out, command.want) {
				return errors.New(out + errOut)
			}
			return nil
		})
	}
	for _, id := range []string{"engine", "own"} {
		if err := s.client.Call(t.Context(), &api.Call{Type: api.Call_KILL.Enum(), Kill: &api.Call_Kill{TaskId: &mesos.TaskID{Value: &id}}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, id+" is killed", 60*time.Second, func() error { return s.reached(id, mesos.TaskState_TASK_KILLED) })
	}
}
