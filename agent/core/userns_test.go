package core

import (
	"testing"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

func TestLabelAsksForAUserNamespace(t *testing.T) {
	labels := func(value string) *mesos.Labels {
		return &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String("other"), Value: proto.String("x")}, {Key: proto.String("agora.userns"), Value: proto.String(value)}}}
	}
	sandbox := func(string, Run, containerizer.ID) string { return "/sandbox" }
	c := &Core{config: Config{Sandbox: sandbox}, out: &Ready{}, containers: map[containerizer.ID]*container{}}
	f := &framework{info: &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: proto.String("f")}}}
	e := &executorRun{framework: f, info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}, Labels: labels("private")}}
	e.run.Container = "pod"
	info := &mesos.TaskInfo{TaskId: &mesos.TaskID{Value: proto.String("t")}, Command: &mesos.CommandInfo{}}
	if got := c.taskSpec(e, "pod.task", &task{info: info}).UserNamespace; got != "" {
		t.Errorf("a task without the label asks for %q", got)
	}
	info.Labels = labels("host")
	if got := c.taskSpec(e, "pod.task", &task{info: info}).UserNamespace; got != "host" {
		t.Errorf("a task asks for %q, want host", got)
	}
	c.launchOwn(e)
	for _, sent := range c.out.Send {
		if launch, ok := sent.(LaunchContainer); ok && launch.Spec.UserNamespace == "private" {
			return
		}
	}
	t.Errorf("the executor does not ask for a user namespace: %+v", c.out.Send)
}
