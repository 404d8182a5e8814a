package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Terminals are launchers that hand out the terminal of a container that was started with one.
type Terminals interface {
	// Terminal is the outer end of the container's terminal; the caller closes it. Its mode
	// (blocking or not) is shared with the launcher and must stay as it is.
	Terminal(ctx context.Context, id string) (*os.File, error)
}

// ErrNoTerminal is returned for a container that was started without one, or has lost it with
// its launcher.
var ErrNoTerminal = errors.New("the container has no terminal")

// OpenTerminal makes a terminal of a size, or of none. The outer end does not block, so that
// reading it can be stopped.
func OpenTerminal(size *specs.Box) (outer, inner *os.File, err error) {
	blocking, inner, err := pty.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	defer blocking.Close()
	if size != nil {
		_ = pty.Setsize(blocking, &pty.Winsize{Rows: uint16(size.Height), Cols: uint16(size.Width)})
	}
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		inner.Close()
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	return os.NewFile(uintptr(fd), blocking.Name()), inner, nil
}

// Duplicate makes another descriptor of a file without a change of its mode.
func Duplicate(f *os.File) (*os.File, error) {
	if f == nil {
		return nil, ErrNoTerminal
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	copied, failed := -1, error(nil)
	err = raw.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), f.Name()), nil
}
