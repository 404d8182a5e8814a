package linux_test

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	mesos "agora.dev/agora/api/mesos/v1"
)

// file reads a file of a container's control group; controller is the one of version 1.
func (w *world) file(id, controller, name string) string {
	w.t.Helper()
	h, err := cgroups.Detect()
	if err != nil {
		w.t.Fatal(err)
	}
	if h.V2 {
		controller = ""
	}
	b, err := os.ReadFile(filepath.Join(h.At(filepath.Join(w.group, id)).Paths[controller], name))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// either reads the file of the version at hand.
func (w *world) either(id, controller, v1, v2 string) string {
	w.t.Helper()
	h, _ := cgroups.Detect()
	if h.V2 {
		return w.file(id, controller, v2)
	}
	return w.file(id, controller, v1)
}

// await polls until ok.
func (w *world) await(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatalf("%s: it does not happen", what)
		}
	}
}

func (w *world) launch(s containerizer.Spec) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err != nil {
		w.t.Fatalf("launch %s: %v", s.ID, err)
	}
}

func TestRequestsAndLimitsAreApart(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) {
		c.Isolation.EnforceCPU, c.Isolation.CountProcesses = true, true
		c.Isolation.RevocableCPULowPriority = true
	})
	h, _ := cgroups.Detect()
	soft := mesos.Resource{Revocable: &mesos.Resource_RevocableInfo{}}
	for _, c := range []struct {
		id                                   string
		limits                               map[string]float64
		revocable                            bool
		quota, hard                          string // "max" for none
		shares, weight, softBytes, wantShown string
	}{
		{"request", nil, false, "50000", "67108864", "512", "50", "67108864", "cpus 0.5"},
		{"ceiling", map[string]float64{"cpus": 1.5, "mem": 128}, false, "150000", "134217728", "512", "50", "67108864", "cpus 1.5"},
		{"infinite", map[string]float64{"cpus": math.Inf(1), "mem": math.Inf(1)}, false, "max", "max", "512", "50", "67108864", "cpus 0"},
		{"revocable", nil, true, "50000", "67108864", "5", "1", "67108864", "cpus 0.5"},
	} {
		s := w.spec(c.id, "exec sleep 1000")
		s.Limits = c.limits
		if c.revocable {
			s.Resources[0].Revocable = soft.Revocable
		}
		w.launch(s)
		quota, hard := w.either(c.id, "cpu", "cpu.cfs_quota_us", "cpu.max"), w.either(c.id, "memory", "memory.limit_in_bytes", "memory.max")
		quota = strings.TrimSuffix(quota, " 100000")
		if n, _ := strconv.ParseInt(hard, 10, 64); n > 1<<60 {
			hard = "max"
		}
		if quota == "-1" {
			quota = "max"
		}
		if quota != c.quota || hard != c.hard {
			t.Errorf("%s: quota %s, hard limit %s; want %s, %s", c.id, quota, hard, c.quota, c.hard)
		}
		share, want := w.either(c.id, "cpu", "cpu.shares", "cpu.weight"), c.shares
		if h.V2 {
			want = c.weight
		}
		if share != want {
			t.Errorf("%s: share %s, want %s", c.id, share, want)
		}
		if got := w.either(c.id, "memory", "memory.soft_limit_in_bytes", "memory.low"); got != c.softBytes {
			t.Errorf("%s: soft limit %s, want %s", c.id, got, c.softBytes)
		}
		usage, err := w.Usage(w.ctx, s.ID)
		if err != nil || "cpus "+strconv.FormatFloat(usage.GetCpusLimit(), 'g', -1, 64) != c.wantShown || usage.GetCpusSoftLimit() != 0.5 ||
			usage.GetMemSoftLimitBytes() != 64<<20 || usage.GetMemTotalBytes() == 0 || usage.GetProcesses() != 2 || usage.MemCriticalPressureCounter == nil {
			t.Errorf("%s: usage %v, %v", c.id, usage, err)
		}
	}
}

func TestUpdateRaisesAndLowers(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) { c.Isolation.WatchInterval = 20 * time.Millisecond })
	s := w.spec("update", "echo up; exec sleep 1000")
	w.launch(s)
	hard := func() string { return w.either("update", "memory", "memory.limit_in_bytes", "memory.max") }
	for _, mem := range []float64{128, 64, 96, 48} {
		if err := w.Update(w.ctx, s.ID, []*mesos.Resource{resource("cpus", 1), resource("mem", mem)}, nil); err != nil {
			t.Fatal(err)
		}
		if want := strconv.Itoa(int(mem) << 20); hard() != want {
			t.Errorf("updated to %g MB: limit %s, want %s", mem, hard(), want)
		}
	}
	if got := w.either("update", "cpu", "cpu.shares", "cpu.weight"); got != "1024" && got != "100" {
		t.Errorf("share %s after the update", got)
	}
}

func TestLimitBelowWhatIsHeldWaits(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) { c.Isolation.WatchInterval = 20 * time.Millisecond })
	// The memory is held by a child, which gives it back when told to.
	s := withImage(w.spec("holder", `dd if=/dev/zero of=/dev/null bs=60M count=100000000 & echo up; trap 'kill $!; wait; echo free' TERM; while true; do sleep 0.01; done`))
	s.Resources[1] = resource("mem", 128)
	w.launch(s)
	held := func() uint64 {
		usage, err := w.Usage(w.ctx, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return usage.GetMemRssBytes()
	}
	w.await("60 MB are held", func() bool { return held() > 58<<20 })
	if peak := w.Peak(s.ID); peak < 58<<20 {
		t.Errorf("a peak of %d bytes, with %d held", peak, held())
	}
	// Version 1 does not tell how long a group waits for a CPU, nor does every kernel with version 2.
	if h, _ := cgroups.Detect(); (!h.V2 && w.Waits(s.ID) >= 0) || w.Waits(s.ID) > 100 {
		waits := w.Waits(s.ID)
		t.Errorf("waits for a CPU %g%% of the time", waits)
	}
	if err := w.Update(w.ctx, s.ID, []*mesos.Resource{resource("cpus", 0.5), resource("mem", 40)}, nil); err != nil {
		t.Fatal(err)
	}
	hard := func() string { return w.either("holder", "memory", "memory.limit_in_bytes", "memory.max") }
	if hard() != "134217728" {
		t.Errorf("limit %s, want the old one while more is held", hard())
	}
	if err := w.Signal(w.ctx, s.ID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.await("the limit is lowered", func() bool { return hard() == "41943040" })
}

// A nested container that has ended keeps its group until it is removed; on version 1 the
// kernel lets no group have more CPU time than the one above.
func TestQuotaOfAPodWaitsForWhatIsInIt(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) {
		c.Isolation.EnforceCPU, c.Isolation.WatchInterval = true, 20*time.Millisecond
	})
	pod := w.spec("pod", "")
	pod.Command, pod.Resources[0] = nil, resource("cpus", 1.5)
	w.launch(pod)
	task := w.spec("pod.task", "exec sleep 1000")
	task.Resources[0] = resource("cpus", 1)
	w.launch(task)
	quota := func() string {
		return strings.TrimSuffix(w.either("pod", "cpu", "cpu.cfs_quota_us", "cpu.max"), " 100000")
	}
	if err := w.Update(w.ctx, pod.ID, []*mesos.Resource{resource("cpus", 0.5), resource("mem", 128)}, nil); err != nil {
		t.Fatal(err)
	}
	h, _ := cgroups.Detect()
	if !h.V2 && quota() != "150000" {
		t.Errorf("quota %s while a group below has 100000", quota())
	}
	if share := w.either("pod", "cpu", "cpu.shares", "cpu.weight"); share != "512" && share != "50" {
		t.Errorf("share %s: the rest was not updated", share)
	}
	if err := w.Destroy(w.ctx, task.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(w.ctx, task.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(w.ctx, task.ID); err != nil {
		t.Fatal(err)
	}
	w.await("the quota is lowered", func() bool { return quota() == "50000" })
	if err := w.Destroy(w.ctx, pod.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(w.ctx, pod.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.Update(w.ctx, pod.ID, pod.Resources, nil); err != nil {
		t.Errorf("update of a container that has ended: %v", err)
	}
}

func TestKilledHelperIsALimitation(t *testing.T) {
	w := newWorld(t)
	s := withImage(w.spec("helper", `dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived; exec sleep 1000`))
	w.launch(s)
	end, err := w.Wait(w.ctx, s.ID)
	if err != nil || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY || len(end.Limited) != 1 ||
		!strings.Contains(end.Message, "Requested: 64MB Limit: 64MB Maximum Used: 64MB Container: helper") {
		t.Errorf("got %+v, %v; output %q", end, err, output(s))
	}
}

func TestExhaustedPodEndsItsTasksWithTheReason(t *testing.T) {
	w := newWorld(t)
	pod := w.spec("pod", "")
	pod.Command = nil
	w.launch(pod)
	quiet, greedy := withImage(w.spec("pod.quiet", "exec sleep 1000")), withImage(w.spec("pod.greedy", `dd if=/dev/zero of=/dev/null bs=200M count=1; exec sleep 1000`))
	quiet.ShareCgroups, greedy.ShareCgroups = true, true
	w.launch(quiet)
	w.launch(greedy)
	for _, id := range []containerizer.ID{"pod.greedy", "pod.quiet", "pod"} {
		if end, err := w.Wait(w.ctx, id); err != nil || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
			t.Errorf("%s: got %+v, %v", id, end, err)
		}
	}
}

func TestNestedLimitEndsOnlyTheNested(t *testing.T) {
	w := newWorld(t)
	pod := w.spec("pod", "")
	pod.Command, pod.Resources[1] = nil, resource("mem", 256)
	w.launch(pod)
	quiet, greedy := withImage(w.spec("pod.quiet", "echo up; exec sleep 1000")), withImage(w.spec("pod.greedy", `dd if=/dev/zero of=/dev/null bs=200M count=1; exec sleep 1000`))
	w.launch(quiet)
	w.launch(greedy)
	if end, err := w.Wait(w.ctx, "pod.greedy"); err != nil || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY || !strings.Contains(end.Message, "Container: pod.greedy") {
		t.Errorf("got %+v, %v", end, err)
	}
	if err := w.Signal(w.ctx, "pod.quiet", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if end, err := w.Wait(w.ctx, "pod.quiet"); err != nil || end.Limitation() {
		t.Errorf("the neighbour: got %+v, %v", end, err)
	}
}
