package core

import (
	"testing"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// TestDefaultContainerIsThatOfExecutorsWithoutOne: --default_container_info; what is nested in an executor is not one.
func TestDefaultContainerIsThatOfExecutorsWithoutOne(t *testing.T) {
	standard := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Hostname: proto.String("standard")}
	own := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Hostname: proto.String("own")}
	sandbox := func(string, Run, containerizer.ID) string { return "/sandbox" }
	c := &Core{config: Config{Sandbox: sandbox, DefaultContainer: standard}, out: &Ready{}, containers: map[containerizer.ID]*container{}}
	f := &framework{info: &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: proto.String("f")}}}
	for _, c0 := range []struct {
		id   containerizer.ID
		said *mesos.ContainerInfo
		want string
	}{{"task", nil, "standard"}, {"task", own, "own"}, {"pod.task", nil, ""}, {"pod.task", own, "own"}} {
		e := &executorRun{framework: f, info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}}}
		e.run.Container = c0.id.Root()
		info := &mesos.TaskInfo{TaskId: &mesos.TaskID{Value: proto.String("t")}, Command: &mesos.CommandInfo{}, Container: c0.said}
		if got := c.taskSpec(e, c0.id, &task{info: info}).Container.GetHostname(); got != c0.want {
			t.Errorf("%s, %v: %q, want %q", c0.id, c0.said, got, c0.want)
		}
	}
	e := &executorRun{framework: f, info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}}}
	e.run.Container = "pod"
	c.launchOwn(e)
	for _, sent := range c.out.Send {
		if launch, ok := sent.(LaunchContainer); ok && launch.Spec.Container.GetHostname() == "standard" {
			return
		}
	}
	t.Errorf("the executor of a pod has no container: %+v", c.out.Send)
}

func TestBothAddressesOfTheHostAreTold(t *testing.T) {
	c := &Core{config: Config{IP: "10.1.2.3", IP6: "fd00::7"}}
	got := c.hostNetwork().GetIpAddresses()
	if len(got) != 2 || got[0].GetProtocol() != mesos.NetworkInfo_IPv4 || got[0].GetIpAddress() != "10.1.2.3" ||
		got[1].GetProtocol() != mesos.NetworkInfo_IPv6 || got[1].GetIpAddress() != "fd00::7" {
		t.Errorf("told %v", got)
	}
}
