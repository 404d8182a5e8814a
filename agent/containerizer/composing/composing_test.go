package composing_test

import (
	"context"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/composing"
	"agora.dev/agora/agent/containerizer/containerizertest"
	mesos "agora.dev/agora/api/mesos/v1"
)

func ofType(kind mesos.ContainerInfo_Type) func(containerizer.Spec) bool {
	return func(s containerizer.Spec) bool { return s.Container.GetType() == kind }
}

func compose() (*composing.Containerizer, *containerizertest.Fake, *containerizertest.Fake) {
	docker, linux := containerizertest.NewFake(), containerizertest.NewFake()
	return composing.New(composing.Member{Name: "docker", Containerizer: docker, Accepts: ofType(mesos.ContainerInfo_DOCKER)},
		composing.Member{Name: "mesos", Containerizer: linux, Accepts: ofType(mesos.ContainerInfo_MESOS)}), docker, linux
}

func of(id containerizer.ID, kind mesos.ContainerInfo_Type) containerizer.Spec {
	return containerizer.Spec{ID: id, Container: &mesos.ContainerInfo{Type: &kind}}
}

func TestComposedContainerizersKeepTheContract(t *testing.T) {
	for _, kind := range []mesos.ContainerInfo_Type{mesos.ContainerInfo_DOCKER, mesos.ContainerInfo_MESOS} {
		t.Run(kind.String(), func(t *testing.T) {
			containerizertest.Run(t, func(*testing.T) containerizertest.Host {
				c, _, _ := compose()
				return containerizertest.Host{Containerizer: c, Sleeper: func(id containerizer.ID) containerizer.Spec { return of(id, kind) }}
			})
		})
	}
}

func TestContainersStayWithTheFirstThatAcceptsThem(t *testing.T) {
	ctx := context.Background()
	c, docker, linux := compose()
	for _, spec := range []containerizer.Spec{of("d", mesos.ContainerInfo_DOCKER), of("m", mesos.ContainerInfo_MESOS), of("m.in", mesos.ContainerInfo_DOCKER)} {
		if _, err := c.Launch(ctx, spec); err != nil {
			t.Fatal(err)
		}
	}
	for id, where := range map[containerizer.ID]*containerizertest.Fake{"d": docker, "m": linux, "m.in": linux} {
		if _, ok := where.Spec(id); !ok {
			t.Errorf("container %s is with another containerizer", id)
		}
	}
	next := composing.New(composing.Member{Name: "mesos", Containerizer: linux, Accepts: ofType(mesos.ContainerInfo_MESOS)},
		composing.Member{Name: "docker", Containerizer: docker, Accepts: ofType(mesos.ContainerInfo_DOCKER)})
	found, err := next.Recover(ctx, []containerizer.ID{"d", "m", "m.in"})
	if err != nil || len(found) != 3 {
		t.Fatalf("recovered %v, %v; want three", found, err)
	}
	if err := next.Destroy(ctx, "d"); err != nil {
		t.Error(err)
	}
	if end, err := docker.Wait(ctx, "d"); err != nil || end.Status == nil {
		t.Errorf("destroyed elsewhere: %+v, %v", end, err)
	}
}

func TestAContainerThatNobodyRunsIsRefusedByName(t *testing.T) {
	linux := containerizertest.NewFake()
	c := composing.New(composing.Member{Name: "docker", Containerizer: linux, Accepts: ofType(mesos.ContainerInfo_DOCKER)})
	_, err := c.Launch(context.Background(), of("one", mesos.ContainerInfo_MESOS))
	if err == nil || !strings.Contains(err.Error(), "of type MESOS, which none of --containerizers runs: docker") {
		t.Errorf("got %v", err)
	}
}
