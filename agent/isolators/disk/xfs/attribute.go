package xfs

import (
	"context"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/isolators/disk"
)

// From the kernel's uapi/linux/fs.h, as amd64 and arm64 number them.
const (
	getAttribute = 0x801c581f // FS_IOC_FSGETXATTR
	// SetAttribute and SetFlags are the calls of ioctl(2) by which an owner of a file takes it out of its project:
	// FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS.
	SetAttribute = 0x401c5820
	SetFlags     = 0x40086602
	inherit      = 0x200 // FS_XFLAG_PROJINHERIT
)

// attribute is struct fsxattr.
type attribute struct {
	flags, extent, extents, project, copyExtent uint32
	_                                           [8]byte
}

func attributeOf(f *os.File) (a attribute, err error) {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), getAttribute, uintptr(unsafe.Pointer(&a))); errno != 0 {
		err = errno
	}
	return a, err
}

// tag puts an open file, or directory with what is made in it from then on, into a project.
func tag(f *os.File, id uint32, isDir bool) error {
	a, err := attributeOf(f)
	if err != nil {
		return err
	}
	if a.project = id; isDir {
		a.flags |= inherit
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), SetAttribute, uintptr(unsafe.Pointer(&a))); errno != 0 {
		return errno
	}
	return nil
}

// openIn opens a file or directory and nothing else: no link, no pipe that waits, no terminal.
func openIn(at int, name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC|flags, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// project is that of a directory; 0 for none that its files inherit.
func project(dir string) (uint32, error) {
	f, err := openIn(unix.AT_FDCWD, dir, unix.O_DIRECTORY)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer f.Close()
	a, err := attributeOf(f)
	if err != nil {
		return 0, &os.PathError{Op: "project of", Path: dir, Err: err}
	}
	if a.flags&inherit == 0 {
		return 0, nil
	}
	return a.project, nil
}

// assign puts a directory and all files below it into a project, the directory last: one that has the project was
// assigned as a whole. Links and special files stay outside; they take no blocks.
func assign(ctx context.Context, dir string, id uint32) error {
	_, err := disk.Walk(ctx, dir, func(e *disk.Entry) error {
		kind := e.Stat.Mode & unix.S_IFMT
		if kind != unix.S_IFDIR && kind != unix.S_IFREG {
			return nil
		}
		f, err := openIn(int(e.Dir.Fd()), e.Name, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return tag(f, id, e.IsDir())
	})
	if err == nil {
		err = tagDirectory(dir, id)
	}
	if err != nil {
		return fmt.Errorf("put %s into project %d: %w", dir, id, err)
	}
	return nil
}

func tagDirectory(dir string, id uint32) error {
	f, err := openIn(unix.AT_FDCWD, dir, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer f.Close()
	return tag(f, id, true)
}
