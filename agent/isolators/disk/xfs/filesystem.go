package xfs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystem is an XFS that accounts for projects.
type fileSystem struct {
	dir    *os.File
	device uint64
	mount  mount
}

// mount is a line of mountinfo(5).
type mount struct{ point, kind, source string }

// openFileSystem opens that of a directory, and refuses one that cannot keep quotas.
func openFileSystem(dir string, enforce bool) (*fileSystem, error) {
	f, err := openIn(unix.AT_FDCWD, dir, unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	out := &fileSystem{dir: f}
	if err := out.check(dir, enforce); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

func (f *fileSystem) check(dir string, enforce bool) error {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if err := errors.Join(unix.Fstat(int(f.dir.Fd()), &st), unix.Fstatfs(int(f.dir.Fd()), &fs)); err != nil {
		return fmt.Errorf("file system of %s: %w", dir, err)
	}
	f.device, f.mount = uint64(st.Dev), mountOf(uint64(st.Dev))
	if fs.Type != unix.XFS_SUPER_MAGIC {
		return fmt.Errorf("%s is on %s, not on XFS; use a directory on XFS, or the isolator disk/du", dir, f.mount)
	}
	account, enforces, err := f.quotasOn()
	switch {
	case err != nil:
		return fmt.Errorf("quotas of %s, which %s is on: %w", f.mount, dir, err)
	case !account:
		return fmt.Errorf("%s is on %s, which has no project quotas; mount it with the option prjquota (not by a remount; the root of the machine: "+
			"rootflags=prjquota), on a kernel with CONFIG_XFS_QUOTA, or use the isolator disk/du", dir, f.mount)
	case enforce && !enforces:
		return fmt.Errorf("%s is on %s, which counts what projects have and enforces no limits (pqnoenforce); mount it with the option prjquota", dir, f.mount)
	}
	return nil
}

// outside refuses a directory that is in a project itself: what is in it could not be moved about.
func (f *fileSystem) outside(dir string) error {
	own, err := openIn(unix.AT_FDCWD, dir, unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer own.Close()
	a, err := attributeOf(own)
	if err == nil && a.flags&inherit != 0 {
		err = fmt.Errorf("%s is in project %d itself, so that nothing could be moved out of its sandboxes and volumes; take it out: xfs_quota -x -c 'project -C -p %s %d' %s",
			dir, a.project, dir, a.project, f.mount.point)
	}
	return err
}

func (m mount) String() string {
	if m.kind == "" {
		return "an unknown file system"
	}
	return fmt.Sprintf("%s (%s at %s)", m.kind, m.source, m.point)
}

// mountOf finds a file system by the number of its device; empty when it is not to be seen from here.
func mountOf(device uint64) (out mount) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return out
	}
	defer f.Close()
	number := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		place, what := strings.Fields(before), strings.Fields(after)
		if len(place) > 4 && len(what) > 1 && place[2] == number {
			return mount{place[4], what[0], what[1]}
		}
	}
	return out
}

// existing is the innermost directory of a path that is there.
func existing(path string) string {
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
	}
}
