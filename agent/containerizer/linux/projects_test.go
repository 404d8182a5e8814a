package linux_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/disk/xfs"
	"agora.dev/agora/agent/isolators/disk/xfs/xfstest"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/rootfs"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// projectWorld is a world on an XFS with project quotas.
func projectWorld(t *testing.T, disk linux.Disk, change ...func(*linux.Config)) *world {
	t.Helper()
	at := xfstest.Mount(t, "prjquota")
	w := newWorld(t, append(change, func(c *linux.Config) {
		disk.WatchInterval = 50 * time.Millisecond
		disk.Projects.Work, disk.Projects.IDs = at, resources.NewRanges(resources.Range{Begin: 5000, End: 5009})
		c.Dir = filepath.Join(at, "containerizer")
		c.Isolation.On = isolation.Set{isolation.CPU: true, isolation.Memory: true, isolation.DiskXFS: true}
		c.Isolation.Disk = disk
	})...)
	w.dir = at
	return w
}

func (w *world) freeProjects() (n float64) {
	w.Figures(func(name string, value float64) {
		if name == "containerizer/mesos/disk/project_ids_free" {
			n = value
		}
	})
	return n
}

const fillScript = "dd if=/dev/zero of=%s/f bs=65536 count=160 2>/dev/null && exit 10; rm %s/f; exit 11"

func fill(dir string) string { return strings.ReplaceAll(fillScript, "%s", dir) }

func TestProjectQuotaLetsWritesFail(t *testing.T) {
	w := projectWorld(t, linux.Disk{Enforce: true})
	for _, c := range []struct {
		spec containerizer.Spec
		code int
	}{
		{given(w.spec("sandbox", fill(".")), 2), 11},
		{withImage(given(w.spec("image", fill("/tmp")), 2)), 11},
		{given(w.spec("volume", fill("data")), 2, w.volume("v", "data")), 11},
		{given(w.spec("enough", fill(".")), 20), 10},
		{w.spec("unbounded", fill(".")), 10},
	} {
		if code, out := w.run(c.spec); code != c.code {
			t.Errorf("%s: exit code %d, want %d: 11 says that a write failed: %s", c.spec.ID, code, c.code, out)
		}
	}
}

func TestProjectQuotaEndsContainers(t *testing.T) {
	w := projectWorld(t, linux.Disk{Enforce: true, Projects: linux.Projects{Kill: true}})
	quiet := given(w.spec("quiet", "exec sleep 1000"), 1)
	w.launch(quiet)
	for _, s := range []containerizer.Spec{
		given(w.spec("sandbox", "dd if=/dev/zero of=f bs=65536 count=64; exec sleep 1000"), 1),
		withImage(given(w.spec("image", "dd if=/dev/zero of=/tmp/f bs=65536 count=64; exec sleep 1000"), 1)),
		given(w.spec("volume", "dd if=/dev/zero of=data/f bs=65536 count=64; exec sleep 1000"), 1, w.volume("v", "data")),
	} {
		w.launch(s)
		end, err := w.Wait(w.ctx, s.ID)
		if err != nil || end.State != mesos.TaskState_TASK_FAILED || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK ||
			!strings.Contains(end.Message, "exceeds quota (1MB)") || len(end.Limited) != 1 || end.Limited[0].GetName() != "disk" {
			t.Errorf("%s: got %+v, %v", s.ID, end, err)
		}
	}
	if status, err := w.Status(w.ctx, quiet.ID); err != nil || status.GetExecutorPid() == 0 {
		t.Errorf("the quiet one: %v, %v", status, err)
	}
}

func TestProjectsAreCountedAndOutliveTheAgent(t *testing.T) {
	w := projectWorld(t, linux.Disk{})
	volume := w.volume("v", "data")
	s := given(w.spec("counted", "dd if=/dev/zero of=mine bs=1024 count=3000; dd if=/dev/zero of=data/theirs bs=1024 count=6000; exec sleep 1000"), 1, volume)
	w.launch(s)
	w.await("both are counted", func() bool {
		u := w.onDisk(s.ID)
		return len(u.DiskStatistics) == 2 && u.GetDiskUsedBytes() >= 3000<<10 && u.DiskStatistics[1].GetUsedBytes() >= 6000<<10
	})
	u := w.onDisk(s.ID)
	if u.GetDiskLimitBytes() != 1<<20 || u.GetDiskUsedBytes() > 5900<<10 || u.DiskStatistics[1].GetPersistence().GetId() != "v" || u.DiskStatistics[1].GetLimitBytes() != 1<<20 {
		t.Errorf("got %v: the volume counts for the sandbox, or the limits are wrong", u.DiskStatistics)
	}
	if got := w.freeProjects(); got != 8 {
		t.Errorf("%v projects are free, want 8: sandbox and volume have one each", got)
	}
	// The next agent enforces what this one only counted.
	w.config.Isolation.Disk.Enforce = true
	w.restart(s.ID)
	if u := w.onDisk(s.ID); w.freeProjects() != 8 || u.GetDiskUsedBytes() < 3000<<10 {
		t.Errorf("after a restart %v are free, and the usage is %v", w.freeProjects(), u.DiskStatistics)
	}
	if err := os.WriteFile(filepath.Join(s.Sandbox, "more"), make([]byte, 1<<20), 0o644); err == nil {
		t.Error("the sandbox takes more, after a restart with quotas enforced")
	}
	if err := w.Update(w.ctx, s.ID, given(w.spec("counted", ""), 9).Resources, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Sandbox, "more"), make([]byte, 1<<20), 0o644); err != nil {
		t.Errorf("the sandbox has not grown with the container: %v", err)
	}
	w.end(s.ID)
	if err := w.Remove(w.ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	if w.restart(); w.freeProjects() != 8 {
		t.Errorf("%v are free, want 8: the sandbox is there still", w.freeProjects())
	}
	// The volume keeps its project for the next container, and the collector frees the sandbox's.
	again := given(w.spec("again", "exec sleep 1000"), 1, volume)
	w.launch(again)
	if got := w.freeProjects(); got != 7 {
		t.Errorf("%v are free, want 7", got)
	}
	if err := os.RemoveAll(s.Sandbox); err != nil {
		t.Fatal(err)
	}
	w.await("the project of a removed sandbox is free", func() bool { return w.freeProjects() == 8 })
}

func (w *world) end(id containerizer.ID) {
	w.t.Helper()
	if err := w.Destroy(w.ctx, id); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Wait(w.ctx, id); err != nil {
		w.t.Fatal(err)
	}
}

// A copy of an image is in the project, and is not the container's.
func TestProjectsHaveRoomForCopiesOfImages(t *testing.T) {
	w := projectWorld(t, linux.Disk{Enforce: true}, func(c *linux.Config) { c.Backend = rootfs.Copy })
	alone := withImage(given(w.spec("alone", fill("/tmp")), 2))
	if code, out := w.run(alone); code != 11 {
		t.Errorf("exit code %d, want 11: the quota holds in a copy: %s", code, out)
	}
	pod := given(w.spec("pod", ""), 3)
	pod.Command = nil
	w.launch(pod)
	for i := range 3 {
		s := withImage(w.spec(fmt.Sprintf("pod.task%d", i), "dd if=/dev/zero of=/tmp/f bs=65536 count=8 && exec sleep 1000"))
		s.ShareCgroups = true
		w.launch(s)
	}
	w.await("three tasks wrote half a megabyte each", func() bool { return w.onDisk(pod.ID).GetDiskUsedBytes() >= 3<<19 })
	if u := w.onDisk(pod.ID); u.GetDiskUsedBytes() > 3<<20 {
		t.Errorf("%d bytes are counted: the copies are the pod's", u.GetDiskUsedBytes())
	}
	w.end("pod.task0")
	if err := w.Remove(w.ctx, "pod.task0"); err != nil {
		t.Fatal(err)
	}
	last := withImage(w.spec("pod.last", fill("/tmp")))
	last.ShareCgroups = true
	if code, out := w.run(last); code != 11 {
		t.Errorf("exit code %d, want 11: the room of a task that is gone is the pod's: %s", code, out)
	}
}

// As in Mesos a pod has one quota, which its tasks share.
func TestPodIsOneProject(t *testing.T) {
	w := projectWorld(t, linux.Disk{Enforce: true})
	pod := given(w.spec("pod", ""), 3)
	pod.Command = nil
	w.launch(pod)
	inside, image := given(w.spec("pod.inside", "dd if=/dev/zero of=f bs=65536 count=16 && exec sleep 1000"), 50),
		withImage(given(w.spec("pod.image", fill("/tmp")), 50))
	inside.ShareCgroups, image.ShareCgroups = true, true
	w.launch(inside)
	w.await("the task counts for its pod", func() bool { return w.onDisk(pod.ID).GetDiskUsedBytes() >= 1<<20 })
	if code, out := w.run(image); code != 11 {
		t.Errorf("exit code %d, want 11: the pod's quota holds for a task with an image: %s", code, out)
	}
	if u := w.onDisk(inside.ID); u.DiskStatistics != nil || w.freeProjects() != 9 {
		t.Errorf("a task has %v, and %v projects are free; want none, and 9", u.DiskStatistics, w.freeProjects())
	}
}

// leaver names a directory to this test program in a container.
const leaver = "AGORA_TEST_LEAVE_PROJECT"

// leaveProject makes a directory and takes it out of its project, as its owner can when nothing is in the way. It
// returns how often nothing was in the way, be it that the kernel does not know the call.
func leaveProject(dir string) (worked int) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		fmt.Println(err)
		return 99
	}
	f, err := os.Open(dir)
	if err != nil {
		fmt.Println(err)
		return 99
	}
	defer f.Close()
	var attribute [7]uint32 // struct fsxattr: no flags, and no project
	flags := uint64(0)
	for _, call := range []struct {
		name   string
		number uintptr
		with   unsafe.Pointer
	}{
		{"FS_IOC_SETFLAGS", xfs.SetFlags, unsafe.Pointer(&flags)},
		{"FS_IOC_FSSETXATTR", xfs.SetAttribute, unsafe.Pointer(&attribute)},
		{"FS_IOC_FSSETXATTR with more bits", xfs.SetAttribute | 1<<40, unsafe.Pointer(&attribute)},
	} {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), call.number, uintptr(call.with))
		if errno != unix.EPERM {
			fmt.Printf("%s: %v\n", call.name, errno)
			worked++
		}
	}
	var attr [3]uint64 // struct file_attr
	empty := []byte{0}
	_, _, errno := unix.Syscall6(unix.SYS_FILE_SETATTR, f.Fd(), uintptr(unsafe.Pointer(&empty[0])), uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), unix.AT_EMPTY_PATH, 0)
	if errno != unix.EPERM {
		fmt.Printf("file_setattr: %v\n", errno)
		worked++
	}
	return worked
}

func TestContainersStayInTheirProjects(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, enforce := range []bool{true, false} {
		w := projectWorld(t, linux.Disk{Enforce: enforce})
		s := given(w.spec("leaver", "exec "+self), 20)
		s.Env[leaver] = filepath.Join(s.Sandbox, "d")
		if code, out := w.run(s); code != map[bool]int{true: 0, false: 4}[enforce] {
			t.Errorf("enforced: %v, %d ways out of the project: %s", enforce, code, out)
		}
	}
}

func TestProjectsRunOut(t *testing.T) {
	w := projectWorld(t, linux.Disk{Enforce: true})
	for i := range 10 {
		w.launch(w.spec(fmt.Sprintf("c%d", i), "exec sleep 1000"))
	}
	_, err := w.Launch(w.ctx, w.spec("last", "exec sleep 1000"))
	if want := "isolator disk/xfs: project for "; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "all 10 of --xfs_project_range [5000-5009] are in use") {
		t.Errorf("got %v", err)
	}
	w.end("c3")
	if err := w.Remove(w.ctx, "c3"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "sandbox/c3")); err != nil {
		t.Fatal(err)
	}
	w.await("a removed sandbox makes room", func() bool {
		_, err := w.Launch(w.ctx, w.spec("next", "exec sleep 1000"))
		return err == nil
	})
}
