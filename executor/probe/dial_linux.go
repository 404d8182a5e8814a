package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

var errOutside = errors.New("the first connection led back to its own port")

// Host dials in the caller's own network namespace.
func Host(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// In dials in the network namespace of a process. A socket stays in the namespace in which
// it was made, so a thread is there for one system call only.
func In(pid int) Dial {
	return func(ctx context.Context, address string) (net.Conn, error) {
		theirs, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return nil, fmt.Errorf("network namespace of the container: %w", err)
		}
		defer theirs.Close()
		ours, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, fmt.Errorf("network namespace: %w", err)
		}
		defer ours.Close()
		if same(ours, theirs) {
			return Host(ctx, address)
		}
		return dialFrom(ctx, int(ours.Fd()), int(theirs.Fd()), address)
	}
}

func same(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func dialFrom(ctx context.Context, ours, theirs int, address string) (net.Conn, error) {
	runtime.LockOSThread()
	if err := unix.Setns(theirs, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter the network namespace of the container: %w", err)
	}
	inside := true
	leave := func() error {
		if !inside {
			return nil
		}
		if err := unix.Setns(ours, unix.CLONE_NEWNET); err != nil {
			// The thread stays locked, and ends with this goroutine: nobody else may get it.
			return fmt.Errorf("leave the network namespace of the container: %w", err)
		}
		inside = false
		runtime.UnlockOSThread()
		return nil
	}
	d := net.Dialer{Control: func(string, string, syscall.RawConn) error {
		if !inside { // a second attempt would be made from our own namespace
			return errOutside
		}
		return leave()
	}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if left := leave(); left != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, left
	}
	return conn, err
}
