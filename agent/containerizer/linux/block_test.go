package linux_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/cgroups"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newDisk is a file system of 64 MB on a block device of its own.
func newDisk(t *testing.T) (dir string, device specs.LinuxThrottleDevice) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	format, err := exec.LookPath("mke2fs")
	if err != nil {
		if format, err = exec.LookPath("/usr/sbin/mke2fs"); err != nil {
			t.Skip("mke2fs is missing; run test/deps.sh as root")
		}
	}
	image := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(format, "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", format, err, out)
	}
	loop := attachLoop(t, image)
	var stat unix.Stat_t
	if err := unix.Fstat(int(loop.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	device.Major, device.Minor = int64(unix.Major(stat.Rdev)), int64(unix.Minor(stat.Rdev))
	dir = t.TempDir()
	if err := unix.Mount(loop.Name(), dir, "ext4", 0, ""); err != nil {
		t.Fatalf("mount %s: %v", loop.Name(), err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, device
}

// attachLoop makes a file a block device, until the device is closed.
func attachLoop(t *testing.T, image string) *os.File {
	t.Helper()
	back, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("loop devices: %v", err)
	}
	defer control.Close()
	for { // somebody else may take the free one first
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", number), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		config := &unix.LoopConfig{Fd: uint32(back.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		switch err = unix.IoctlLoopConfigure(int(loop.Fd()), config); err {
		case nil:
			t.Cleanup(func() { loop.Close() })
			return loop
		case unix.EBUSY:
			loop.Close()
		default:
			t.Fatalf("%s: %v", loop.Name(), err)
		}
	}
}

// written is how many bytes a container has written to a device, in how many requests.
func (w *world) written(id containerizer.ID, device specs.LinuxThrottleDevice) (bytes, requests uint64) {
	w.t.Helper()
	usage, err := w.Usage(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	of := func(values []*mesos.CgroupInfo_Blkio_Value) (sum uint64) {
		for _, v := range values {
			if v.GetOp() == mesos.CgroupInfo_Blkio_WRITE {
				sum += v.GetValue()
			}
		}
		return sum
	}
	for _, d := range usage.GetBlkioStatistics().GetThrottling() {
		if n := d.GetDevice(); int64(n.GetMajorNumber()) == device.Major && int64(n.GetMinorNumber()) == device.Minor {
			return of(d.GetIoServiceBytes()), of(d.GetIoServiced())
		}
	}
	return 0, 0
}

func TestBlockIOIsLimitedAndCounted(t *testing.T) {
	if !needController(t, "blkio") {
		return
	}
	disk, device := newDisk(t)
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, withIsolators(t, "cgroups/cpu,cgroups/mem,cgroups/blkio"))
	pod := w.spec("pod", "")
	pod.Command = nil
	w.launch(pod)
	// On version 1, kernels count only where a device has a limit.
	device.Rate = 1 << 30
	limits := &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{device}}}
	if err := h.At(filepath.Join(w.group, "pod")).Set(limits); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d:%d 1073741824", device.Major, device.Minor)
	if h.V2 {
		want = fmt.Sprintf("%d:%d rbps=max wbps=1073741824 riops=max wiops=max", device.Major, device.Minor)
	}
	if got := w.either("pod", "blkio", "blkio.throttle.write_bps_device", "io.max"); got != want {
		t.Errorf("limit %q, want %q", got, want)
	}

	w.launch(w.spec("pod.quiet", "exec sleep 1000"))
	w.launch(w.spec("pod.writer", fmt.Sprintf("dd if=/dev/zero of=%s bs=64k count=16 oflag=direct && exec sleep 1000", filepath.Join(disk, "file"))))
	const size, least = 16 * 64 << 10, 16
	w.await("what is written is counted", func() bool {
		bytes, requests := w.written("pod.writer", device)
		return bytes >= size && requests >= least
	})
	if bytes, requests := w.written("pod", device); bytes < size || requests < least {
		t.Errorf("the pod has written %d bytes in %d requests, less than what is in it", bytes, requests)
	}
	if bytes, _ := w.written("pod.quiet", device); bytes != 0 {
		t.Errorf("the neighbour has written %d bytes", bytes)
	}
}

func TestHugePagesCanBeLimited(t *testing.T) {
	if !needController(t, "hugetlb") {
		return
	}
	w := newWorld(t, withIsolators(t, "cgroups/hugetlb"))
	w.launch(w.spec("huge", "exec sleep 1000"))
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	limits := &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}}
	if err := h.At(filepath.Join(w.group, "huge")).Set(limits); err != nil {
		t.Fatal(err)
	}
	if got := w.either("huge", "hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"); got != "4194304" {
		t.Errorf("limit %s", got)
	}
}
