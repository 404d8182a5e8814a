package core_test

import (
	"testing"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/core"
	"google.golang.org/protobuf/proto"
)

func TestAddressesOfBothKindsAreToldApart(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, checkedApp(1, "one"))
	w.run(5 * time.Second)
	for id := range w.tasks {
		w.health(id, true)
		w.inbox[len(w.inbox)-1].(core.Update).Status.ContainerStatus = &mesos.ContainerStatus{NetworkInfos: []*mesos.NetworkInfo{{
			IpAddresses: []*mesos.NetworkInfo_IPAddress{{IpAddress: proto.String("10.63.0.2")}, {IpAddress: proto.String("fd00::2")}}}}}
	}
	w.run(200 * time.Millisecond)
	want := []marathon.IPAddress{{IPAddress: "10.63.0.2", Protocol: "IPv4"}, {IPAddress: "fd00::2", Protocol: "IPv6"}}
	if got := w.view().Tasks[0].IPAddresses; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
