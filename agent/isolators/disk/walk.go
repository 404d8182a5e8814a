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

// inode names a file of one file system.
type inode = uint64

// walker measures one tree.
type walker struct {
	ctx    context.Context
	device uint64
	linked map[inode]struct{}
	bytes  uint64
	deep   bool
}

// Usage is how many bytes a directory and all below it take on its file system. What is removed
// meanwhile counts or not. With ErrTooDeep it is what was measured.
func Usage(ctx context.Context, dir string) (uint64, error) {
	fd, err := open(unix.AT_FDCWD, dir)
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	w := &walker{ctx: ctx, device: uint64(st.Dev), linked: map[inode]struct{}{}, bytes: uint64(st.Blocks) * blockSize}
	if err := w.directory(root, 1); err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	if w.deep {
		return w.bytes, fmt.Errorf("measure %s: %w", dir, ErrTooDeep)
	}
	return w.bytes, nil
}

func open(at int, path string) (int, error) {
	for {
		fd, err := unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// directory adds what is in an open directory, which it does not close.
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
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return skip(err)
	}
	if uint64(st.Dev) != w.device {
		return nil
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !isDir && st.Nlink > 1 {
		if _, again := w.linked[st.Ino]; again {
			return nil
		}
		if len(w.linked) < maxLinked {
			w.linked[st.Ino] = struct{}{}
		}
	}
	w.bytes += uint64(st.Blocks) * blockSize
	if !isDir {
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
	if err := unix.Fstat(fd, &st); err != nil || uint64(st.Dev) != w.device {
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
