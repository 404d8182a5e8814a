package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what fits into the address of a socket, unix(7): 108 bytes with the zero.
const maxSocketPath = 107

// reachable is a path to the socket in dir that fits into an address: through a descriptor of
// dir when dir's own path is too long. It holds until release.
func reachable(dir string) (path string, release func(), err error) {
	path = filepath.Join(dir, SocketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, SocketName), func() { unix.Close(fd) }, nil
}

// listen makes the socket in dir.
func listen(dir string) (*net.UnixListener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("launcher socket: %w", err)
	}
	address, release, err := reachable(dir)
	if err != nil {
		return nil, fmt.Errorf("launcher socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	release()
	if err != nil {
		return nil, fmt.Errorf("launcher socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("launcher socket: %w", err)
	}
	return listener, nil
}

// inherited is the listener that the program before had open as this file.
func inherited(file *os.File) (*net.UnixListener, error) {
	defer file.Close()
	any, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("launcher socket: %w", err)
	}
	listener, ok := any.(*net.UnixListener)
	if !ok {
		any.Close()
		return nil, fmt.Errorf("launcher socket: descriptor of %T", any)
	}
	return listener, nil
}
