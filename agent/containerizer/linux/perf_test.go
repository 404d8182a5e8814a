package linux_test

import (
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/perf"
	mesos "agora.dev/agora/api/mesos/v1"
)

func TestEventsAreCountedForEachContainer(t *testing.T) {
	if !needController(t, "perf_event") {
		return
	}
	events, err := perf.Parse("cpu-clock,task-clock,page-faults,minor-faults,context-switches,cpu-migrations")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *linux.Config) {
		c.Isolation.On = isolation.Set{isolation.CPU: true, isolation.Memory: true, isolation.PerfEvent: true}
		c.Isolation.Perf = linux.Perf{Events: events, Interval: 100 * time.Millisecond, Duration: 60 * time.Millisecond}
	})
	counted := func(id containerizer.ID) *mesos.PerfStatistics {
		t.Helper()
		usage, err := w.Usage(w.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if usage.Perf != nil && (usage.Perf.Timestamp == nil || usage.Perf.Duration == nil) {
			t.Fatalf("%s: required fields are missing: %v", id, usage.Perf)
		}
		return usage.Perf
	}
	pod, idle := w.spec("pod", ""), w.spec("idle", "exec sleep 1000")
	pod.Command = nil
	w.launch(idle)
	w.launch(pod)
	busy, shared := w.spec("pod.busy", "while true; do /bin/true; done"), w.spec("pod.shared", "exec sleep 1000")
	shared.ShareCgroups = true
	w.launch(busy)
	w.launch(shared)

	works := func(p *mesos.PerfStatistics) bool {
		return p.GetDuration() >= 0.06 && p.GetCpuClock() > 0 && p.GetTaskClock() > 0 && p.GetPageFaults() > 0 && p.GetMinorFaults() > 0 && p.GetContextSwitches() > 0
	}
	w.await("a busy container has events", func() bool { return works(counted(busy.ID)) })
	w.await("they are its pod's, too", func() bool { return works(counted("pod")) })
	w.await("a container that sleeps has none", func() bool {
		p := counted(idle.ID)
		return p.GetDuration() > 0 && p.TaskClock != nil && p.GetTaskClock() == 0 && p.PageFaults != nil && p.GetPageFaults() == 0
	})
	if got := counted(shared.ID); got != nil {
		t.Errorf("a container in its pod's groups has events of its own: %v", got)
	}
	if got := counted(busy.ID); got.Cycles != nil || got.CpuMigrations == nil {
		t.Errorf("got %v, want the events that were asked for", got)
	}
}
