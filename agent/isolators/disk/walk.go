package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Bounds of one walk.
const (
	// maxDepth is how many directories are open at once.
	maxDepth = 512
	// maxLinked is how many files with several names are remembered; further ones count once for
	// each name.
	maxLinked = 1 << 20
	// batch is how many names of a directory are read at once.
	batch = 512
	// blockSize is the unit of stat(2).
	blockSize = 512
)

// ErrTooDeep says that directories are nested so deep that what is in them was not measured.
var ErrTooDeep = fmt.Errorf("directories are nested more than %d deep", maxDepth)

// Entry is a file that a walk comes to.
type Entry struct {
	// Dir is the directory that it is in, open, and Name its name there.
	Dir  *os.File
	Name string
	Stat unix.Stat_t
}

// IsDir reports whether it is a directory.
func (e *Entry) IsDir() bool { return e.Stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// inode names a file of one file system.
type inode = uint64

// walker looks at one tree.
type walker struct {
	ctx    context.Context
	device uint64
	visit  func(*Entry) error
	deep   bool
}

// Usage is how many bytes a directory and all below it take on its file system. What is removed
// meanwhile counts or not. With ErrTooDeep it is what was measured.
func Usage(ctx context.Context, dir string) (uint64, error) {
	linked, bytes := map[inode]struct{}{}, uint64(0)
	root, err := Walk(ctx, dir, func(e *Entry) error {
		if !e.IsDir() && e.Stat.Nlink > 1 {
			if _, again := linked[e.Stat.Ino]; again {
				return nil
			}
			if len(linked) < maxLinked {
				linked[e.Stat.Ino] = struct{}{}
			}
		}
		bytes += uint64(e.Stat.Blocks) * blockSize
		return nil
	})
	if err != nil && !errors.Is(err, ErrTooDeep) {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	if bytes += uint64(root.Blocks) * blockSize; err != nil {
		err = fmt.Errorf("measure %s: %w", dir, err)
	}
	return bytes, err
}

// Walk calls visit for everything below a directory on its file system, a directory before what is in it, and returns
// what the directory itself is. No link is followed, and what is removed meanwhile is visited or not. With ErrTooDeep
// all that is not too deep was visited.
func Walk(ctx context.Context, dir string, visit func(*Entry) error) (st unix.Stat_t, err error) {
	fd, err := open(unix.AT_FDCWD, dir)
	if err != nil {
		return st, err
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	return WalkFrom(ctx, root, visit)
}

// WalkFrom is Walk from an open directory, which it does not close.
func WalkFrom(ctx context.Context, root *os.File, visit func(*Entry) error) (st unix.Stat_t, err error) {
	if err := unix.Fstat(int(root.Fd()), &st); err != nil {
		return st, err
	}
	w := &walker{ctx: ctx, device: uint64(st.Dev), visit: visit}
	if err = w.directory(root, 1); err == nil && w.deep {
		err = ErrTooDeep
	}
	return st, err
}

func open(at int, path string) (int, error) {
	for {
		fd, err := unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// directory visits what is in an open directory, which it does not close.
func (w *walker) directory(dir *os.File, depth int) error {
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			if err := w.entry(dir, name, depth); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) || gone(err):
			return nil
		case err != nil:
			return err
		}
	}
}

func (w *walker) entry(dir *os.File, name string, depth int) error {
	e := Entry{Dir: dir, Name: name}
	if err := unix.Fstatat(int(dir.Fd()), name, &e.Stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return skip(err)
	}
	if uint64(e.Stat.Dev) != w.device {
		return nil
	}
	if err := w.visit(&e); err != nil {
		return skip(err)
	}
	if !e.IsDir() {
		return nil
	}
	if depth == maxDepth {
		w.deep = true
		return nil
	}
	fd, err := open(int(dir.Fd()), name)
	if err != nil {
		return skip(err)
	}
	below := os.NewFile(uintptr(fd), name)
	defer below.Close()
	// It may be another one than a moment ago.
	if err := unix.Fstat(fd, &e.Stat); err != nil || uint64(e.Stat.Dev) != w.device {
		return err
	}
	return w.directory(below, depth+1)
}

// gone reports whether an error says that a file was removed, or replaced, meanwhile.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ESTALE)
}

// skip lets a walk go on after a file that is gone.
func skip(err error) error {
	if gone(err) {
		return nil
	}
	return err
}
