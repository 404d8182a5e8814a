package agent

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/internal/fakecontainers"
	"agora.dev/agora/agent/launchtrace"
	mesos "agora.dev/agora/api/mesos/v1"
)

// slow is a machine where an update takes until the gate opens.
type slow struct {
	*fakecontainers.Machine
	gate chan struct{}
}

func (s slow) Update(ctx context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	<-s.gate
	return s.Machine.Update(ctx, id, resources, limits)
}

func TestPodGrowsBeforeItsNextTaskIsLaunched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		machine := slow{fakecontainers.New(), make(chan struct{})}
		c := newContainers(ctx, machine, slog.New(slog.DiscardHandler))
		c.prepare = func(context.Context, core.LaunchContainer) error { return nil }
		c.post = func(core.Event) {}
		c.launched = func(core.ContainerLaunched, *launchtrace.Trace) {}
		launch := func(id containerizer.ID) { c.launch(core.LaunchContainer{Spec: containerizer.Spec{ID: id}}, nil) }
		expect := func(when string, want int) {
			t.Helper()
			if synctest.Wait(); machine.Live() != want {
				t.Errorf("%s: %d containers, want %d", when, machine.Live(), want)
			}
		}
		launch("pod")
		launch("pod.first")
		expect("at the start", 2)
		c.update(core.UpdateContainer{ID: "pod"})
		launch("pod.second")
		launch("other")
		expect("while the pod grows", 3)
		launch("pod.cancelled")
		c.destroy("pod.cancelled")
		expect("when a launch that waits is cancelled", 3)
		close(machine.gate)
		expect("when it has grown", 4)
		cancel()
		c.wg.Wait()
	})
}
