package vfs

import (
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// exchange waits for nothing. A rename over a file has ext4 (auto_da_alloc) write the new one's content to the disk, and
// to remove one that is being written waits for the disk, too: tens of milliseconds when somebody else keeps it busy.
func exchange(from, to string) (old bool, err error) {
	if unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE) == nil {
		return true, nil
	}
	return false, os.Rename(from, to) // there is none yet, or the file system does not exchange
}

// smallFile is the size up to which a file is read with one call, in bytes.
const smallFile = 4 << 10

// readFile reads a file with as few system calls as there can be: os.ReadFile also asks for its size and flags, and
// has the poller look at it. An agent that starts reads thousands of small ones.
func readFile(path string) ([]byte, error) {
	fd, err := retried(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	var small [smallFile]byte
	n, err := retried(func() (int, error) { return syscall.Read(fd, small[:]) })
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	if n == smallFile {
		return os.ReadFile(path)
	}
	return slices.Clone(small[:n]), nil
}

func retried(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}
