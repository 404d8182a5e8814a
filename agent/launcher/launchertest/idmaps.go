package launchertest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// NeedIDMaps skips the test when the file system of temporary files cannot be mounted with
// other ids: a tmpfs before Linux 6.3.
func NeedIDMaps(t testing.TB) {
	t.Helper()
	Busybox(t)
	dir := t.TempDir()
	if err := mapIDs(t, dir); err != nil {
		t.Skipf("SKIP: %s cannot be mounted with other ids: %v; set TMPDIR to a directory on ext4", dir, err)
	}
}

func mapIDs(t testing.TB, dir string) error {
	t.Helper()
	ids := []syscall.SysProcIDMap{{HostID: 1 << 24, Size: 65536}}
	holder := exec.Command("busybox", "cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	in.Close()
	_ = holder.Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())})
}
