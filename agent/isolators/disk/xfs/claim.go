package xfs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agora.dev/agora/resources"
)

// claims is where agents of a machine tell each other which projects are theirs.
const claims = "/run"

// claim takes the ids of a range on a file system for this process, for as long as the file is open: each id is a byte
// of it, and is locked. The kernel lets go of the locks when the process dies.
func claim(dir string, device uint64, ids resources.Ranges) (*os.File, error) {
	path := filepath.Join(dir, fmt.Sprintf("agora-xfs-%d-%d.projects", unix.Major(device), unix.Minor(device)))
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	for _, r := range ids {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(r.Begin), Len: int64(r.End - r.Begin + 1)}
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock)
		if err == nil {
			continue
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			err = taken(f, r)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// taken says which ids of a range somebody else has.
func taken(f *os.File, r resources.Range) error {
	other := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(r.Begin), Len: int64(r.End - r.Begin + 1)}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &other); err != nil || other.Type == unix.F_UNLCK {
		other.Start, other.Len = int64(r.Begin), int64(r.End-r.Begin+1)
	}
	return fmt.Errorf("another agent of this machine has projects %d-%d on the same file system; give each agent a range of its own", other.Start, other.Start+other.Len-1)
}

// Files in which administrators name projects: xfs_quota(8), projid(5), projects(5).
var named = []struct {
	path string
	at   int // the field with the id
}{{"/etc/projid", 1}, {"/etc/projects", 0}}

// unnamed verifies that no administrator has a project of a range.
func unnamed(root string, ids resources.Ranges) error {
	for _, file := range named {
		f, err := os.Open(filepath.Join(root, file.path))
		if err != nil {
			continue // without it nothing is named
		}
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
			if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
				continue
			}
			id, err := strconv.ParseUint(strings.TrimSpace(fields[file.at]), 10, 32)
			if err == nil && ids.Contains(resources.NewRanges(resources.Range{Begin: id, End: id})) {
				f.Close()
				return fmt.Errorf("project %d is somebody else's by %s:%d; give a range without it", id, file.path, n)
			}
		}
		f.Close()
	}
	return nil
}
