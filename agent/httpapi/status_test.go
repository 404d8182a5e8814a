package httpapi

import (
	"context"
	"errors"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
)

// broken is a containerizer that tells of a network what the core has not seen.
type broken struct {
	*containerizertest.Fake
	err error
}

func (b broken) Status(context.Context, containerizer.ID) (*mesos.ContainerStatus, error) {
	return &mesos.ContainerStatus{NetworkInfos: []*mesos.NetworkInfo{named("broken")}}, b.err
}

func named(name string) *mesos.NetworkInfo { return &mesos.NetworkInfo{Name: &name} }

func TestStatusTellsHowNetworksAreAtThisMoment(t *testing.T) {
	recorded := &mesos.ContainerStatus{NetworkInfos: []*mesos.NetworkInfo{named("recorded")}, CgroupInfo: &mesos.CgroupInfo{}}
	for _, c := range []struct {
		status *mesos.ContainerStatus
		err    error
		want   string
	}{{recorded, nil, "broken"}, {recorded, errors.New("gone"), "recorded"}, {&mesos.ContainerStatus{}, nil, ""}, {nil, nil, ""}} {
		s := &Server{Config: Config{Containers: broken{err: c.err}}}
		got := s.containerStatus(t.Context(), core.ContainerView{ID: "c", Status: c.status})
		name := ""
		for _, info := range got.GetNetworkInfos() {
			name += info.GetName()
		}
		if name != c.want || c.status == recorded && got.GetCgroupInfo() == nil {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
