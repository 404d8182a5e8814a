// Package cgroupkit keeps tests of one machine from changing its cgroup hierarchies under each other.
//
// A hierarchy of version 1 is the machine's, in whatever mount namespace it was mounted:
// /proc/<pid>/cgroup of every process names it. containerd 1.6 then looks for it among its own mounts,
// finds none, and knows no group of the containers that it starts: no end by the limit of
// memory is told, and no figure. The package promises order among tests, in all processes of the
// machine, and leaves nothing behind.
package cgroupkit

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// place is what is locked: a directory that every machine with cgroups has.
const place = "/sys/fs/cgroup"

// KeepHierarchies waits until no test changes the hierarchies, and keeps it so until the test ends.
func KeepHierarchies(t testing.TB) { hold(t, unix.LOCK_SH) }

// ChangeHierarchies waits until no test needs the hierarchies as they are; until it ends, it may mount others.
func ChangeHierarchies(t testing.TB) { hold(t, unix.LOCK_EX) }

func hold(t testing.TB, how int) {
	t.Helper()
	dir, err := os.Open(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(dir.Fd()), how)
	}
	if err != nil {
		t.Fatalf("lock %s: %v", place, err)
	}
}
