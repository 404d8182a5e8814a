package rootfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// withReflinks is an XFS that ends with the test and is attached nowhere, or skips.
func withReflinks(t *testing.T) string {
	t.Helper()
	needRoot(t)
	mkfs, err := exec.LookPath("mkfs.xfs")
	if err != nil {
		t.Skip("SKIP: mkfs.xfs is missing; apt-get install xfsprogs")
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 400<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-m", "reflink=1", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.xfs: %v, %s", err, out)
	}
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	device := attach(t, file)
	fs, err := unix.Fsopen("xfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skipf("SKIP: XFS is not in this kernel: %v", err)
	}
	defer unix.Close(fs)
	if err := errors.Join(unix.FsconfigSetString(fs, "source", device), unix.FsconfigCreate(fs)); err != nil {
		t.Skipf("SKIP: XFS cannot be mounted: %v", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	return through(root, "")
}

// attach makes a file a block device for as long as somebody has it open.
func attach(t *testing.T, file *os.File) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIP: no loop devices: %v", err)
	}
	defer control.Close()
	for range 20 { // others may take the free one
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("/dev/loop%d", number)
		device, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("SKIP: %v", err)
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}})
		if err == nil {
			t.Cleanup(func() { device.Close() })
			return name
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			t.Fatal(err)
		}
	}
	t.Fatal("no loop device is free")
	return ""
}

// TestACopySharesBlocksWhereItCan: ten copies of 30 MB on a disk of 400 MB would not fit else,
// with what the log takes.
func TestACopySharesBlocksWhereItCan(t *testing.T) {
	dir := withReflinks(t)
	low := filepath.Join(dir, "layer")
	if err := errors.Join(os.Mkdir(low, 0o755), os.WriteFile(filepath.Join(low, "file"), make([]byte, 30<<20), 0o644), unix.Setxattr(filepath.Join(low, "file"), "user.note", []byte("kept"), 0)); err != nil {
		t.Fatal(err)
	}
	used := func() uint64 {
		var st unix.Statfs_t
		root, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := errors.Join(unix.Syncfs(int(root.Fd())), unix.Fstatfs(int(root.Fd()), &st)); err != nil {
			t.Fatal(err)
		}
		return (st.Blocks - st.Bfree) * uint64(st.Bsize)
	}
	before := used()
	for i := range 10 {
		at := filepath.Join(dir, fmt.Sprint("copy", i))
		if _, err := (Copying{Layers: []string{low}}).To(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			compare(t, describe(t, at), describe(t, low))
		}
	}
	if more := used() - before; more > 10<<20 {
		t.Errorf("ten copies of 30 MiB took %d bytes", more)
	}
	// What is changed in a copy is the copy's.
	if err := os.WriteFile(filepath.Join(dir, "copy0/file"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(low, "file")); err != nil || info.Size() != 30<<20 {
		t.Errorf("the layer: %v, %v", info, err)
	}
}
