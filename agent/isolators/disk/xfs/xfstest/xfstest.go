// Package xfstest gives tests a real XFS of their own, in a file.
//
// It promises that nothing of it stays after the test. Where there can be none it skips the test and says why.
package xfstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// size is the least that mkfs.xfs makes, in bytes. The file has holes.
const size = 320 << 20

// Mount makes an XFS, mounts it with options such as prjquota, and returns where.
func Mount(t testing.TB, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: needs root to mount")
	}
	mkfs, err := exec.LookPath("mkfs.xfs")
	if err != nil {
		t.Skip("SKIP: mkfs.xfs is missing; run test/deps.sh as root")
	}
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "xfs")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-K", "-l", "size=64m", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.xfs: %v: %s", err, out)
	}
	device := attach(t, image)
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	switch err := unix.Mount(device, at, "xfs", 0, options); err {
	case nil:
	case unix.EINVAL, unix.ENODEV, unix.EPERM:
		t.Skipf("SKIP: this machine mounts no XFS with the options %q: %v; make test-vm runs this test in a guest that does", options, err)
	default:
		t.Fatalf("mount %s with %q: %v", device, options, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Errorf("unmount %s: %v", at, err)
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	return at
}

// attach makes a file a block device, until nobody has it open.
func attach(t testing.TB, image string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIP: no loop devices: %v", err)
	}
	defer control.Close()
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		path := "/dev/loop" + strconv.Itoa(number)
		device, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("SKIP: no loop devices: %v", err)
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == unix.EBUSY { // somebody was quicker
			device.Close()
			continue
		}
		if err != nil {
			t.Fatalf("attach %s: %v", path, err)
		}
		t.Cleanup(func() { device.Close() })
		return path
	}
}
