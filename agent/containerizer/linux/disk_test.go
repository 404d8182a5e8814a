package linux_test

import (
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
)

// withDisk looks at the disk every moment.
func withDisk(enforce bool) func(*linux.Config) {
	return func(c *linux.Config) {
		c.Isolation.On = isolation.Set{isolation.CPU: true, isolation.Memory: true, isolation.DiskDu: true}
		c.Isolation.Disk = linux.Disk{WatchInterval: 50 * time.Millisecond, Enforce: enforce}
	}
}

func (w *world) onDisk(id containerizer.ID) *mesos.ResourceStatistics {
	w.t.Helper()
	usage, err := w.Usage(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return usage
}

// given adds disk to a container, and to a volume of it.
func given(s containerizer.Spec, megabytes float64, volumes ...containerizer.PersistentVolume) containerizer.Spec {
	s.Resources = append(s.Resources, resource("disk", megabytes))
	for _, v := range volumes {
		r := resource("disk", megabytes)
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &v.ID}}
		s.Resources, s.Persistent = append(s.Resources, r), append(s.Persistent, v)
	}
	return s
}

func TestDiskOfSandboxAndVolumeIsMeasuredApart(t *testing.T) {
	w := newWorld(t, withDisk(false))
	s := given(w.spec("apart", "dd if=/dev/zero of=mine bs=1024 count=3000; dd if=/dev/zero of=data/theirs bs=1024 count=6000; exec sleep 1000"), 1, w.volume("v", "data"))
	w.launch(s)
	none := w.spec("none", "exec sleep 1000")
	w.launch(none)
	w.await("both are measured", func() bool {
		u := w.onDisk(s.ID)
		return len(u.DiskStatistics) == 2 && u.GetDiskUsedBytes() >= 3000<<10 && u.DiskStatistics[1].GetUsedBytes() >= 6000<<10
	})
	u := w.onDisk(s.ID)
	if u.GetDiskLimitBytes() != 1<<20 || u.GetDiskUsedBytes() > 3100<<10 || u.DiskStatistics[1].GetPersistence().GetId() != "v" {
		t.Errorf("got %v: the volume counts for the sandbox, or the limits are wrong", u.DiskStatistics)
	}
	if u := w.onDisk(none.ID); u.DiskUsedBytes != nil || u.DiskStatistics != nil {
		t.Errorf("a container without disk has %v", u.DiskStatistics)
	}
	if err := w.Update(w.ctx, s.ID, append(w.spec("apart", "").Resources, resource("disk", 7)), nil); err != nil {
		t.Fatal(err)
	}
	w.restart(s.ID, none.ID)
	w.await("the next agent measures with the newest limit", func() bool {
		u := w.onDisk(s.ID)
		return u.GetDiskLimitBytes() == 7<<20 && u.GetDiskUsedBytes() >= 3000<<10
	})
}

// The neighbour that fills the disk is the only one that ends.
func TestDiskFillerEndsAlone(t *testing.T) {
	w := newWorld(t, withDisk(true))
	volume := w.volume("v", "data")
	fill := "while true; do dd if=/dev/zero of=%/f bs=65536 count=64; sleep 0.05; done"
	fillers := []containerizer.Spec{
		given(w.spec("sandbox", strings.ReplaceAll(fill, "%", ".")), 1),
		given(w.spec("volume", strings.ReplaceAll(fill, "%", "data")), 1, volume),
		withImage(given(w.spec("image", strings.ReplaceAll(fill, "%", "/tmp")), 1)),
		given(w.spec("many", "i=0; while true; do i=$((i+1)); echo $i > small$i; done"), 1),
	}
	quiet := given(w.spec("quiet", "echo something; exec sleep 1000"), 1)
	w.launch(quiet)
	for _, s := range fillers {
		w.launch(s)
	}
	for _, s := range fillers {
		end, err := w.Wait(w.ctx, s.ID)
		if err != nil || end.State != mesos.TaskState_TASK_FAILED || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK ||
			!strings.Contains(end.Message, "exceeds quota (1MB)") || len(end.Limited) != 1 || end.Limited[0].GetName() != "disk" {
			t.Errorf("%s: got %+v, %v", s.ID, end, err)
		}
		if s.ID == "volume" && end.Limited[0].GetDisk().GetPersistence().GetId() != "v" {
			t.Errorf("the limited resource is %v, want the volume's", end.Limited)
		}
	}
	if status, err := w.Status(w.ctx, quiet.ID); err != nil || status.GetExecutorPid() == 0 {
		t.Errorf("the quiet one: %v, %v", status, err)
	}
	w.await("the quiet one is measured still", func() bool { return w.onDisk(quiet.ID).GetDiskUsedBytes() > 0 })
}

// A task of a pod has a bound of its own, and what it writes counts for the pod.
func TestNestedDiskHasItsOwnBound(t *testing.T) {
	w := newWorld(t, withDisk(true))
	pod := given(w.spec("pod", ""), 100)
	pod.Command = nil
	w.launch(pod)
	greedy, modest := given(w.spec("pod.greedy", "dd if=/dev/zero of=f bs=1024 count=3000; exec sleep 1000"), 1),
		given(w.spec("pod.modest", "dd if=/dev/zero of=f bs=1024 count=3000; exec sleep 1000"), 50)
	greedy.ShareCgroups, modest.ShareCgroups = true, true
	w.launch(modest)
	w.launch(greedy)
	if end, err := w.Wait(w.ctx, greedy.ID); err != nil || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK {
		t.Errorf("greedy: got %+v, %v", end, err)
	}
	w.await("the pod has what its tasks wrote", func() bool {
		// The greedy one may have ended before it had written all.
		return w.onDisk("pod").GetDiskUsedBytes() >= 4000<<10 && w.onDisk(modest.ID).GetDiskUsedBytes() >= 3000<<10
	})
}
