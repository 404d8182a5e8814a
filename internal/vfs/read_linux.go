package vfs

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

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
