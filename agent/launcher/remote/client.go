package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launchtrace"
)

// Client implements launcher.Launcher over the socket. It keeps idle connections, and
// holds one always, which tells the launcher that an agent is there.
type Client struct {
	dir     string
	unified bool // the machine has version 2 of control groups

	mu     sync.Mutex
	idle   []*net.UnixConn
	lease  *net.UnixConn
	closed bool
}

const maxIdle = 16

// ErrAway says that the launcher's process does not answer: it has ended, and its
// containers run on.
var ErrAway = errors.New("the launcher does not answer")

// Dial connects to the launcher in dir.
func Dial(ctx context.Context, dir string) (*Client, error) {
	hierarchy, err := cgroups.Detect()
	if err != nil {
		return nil, err
	}
	c := &Client{dir: dir, unified: hierarchy.V2}
	if c.lease, err = c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Close drops the connections; containers run on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
	return c.lease.Close()
}

func (c *Client) connect(ctx context.Context) (*net.UnixConn, error) {
	address, release, err := reachable(c.dir)
	if err != nil {
		return nil, fmt.Errorf("connect to launcher: %w: %w", ErrAway, err)
	}
	defer release()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", address)
	if err != nil {
		return nil, fmt.Errorf("connect to launcher: %w: %w", ErrAway, err)
	}
	return conn.(*net.UnixConn), nil
}

// held reports whether the launcher holds its end of the lease: the kernel closes it when its
// process ends or executes another program. That is known without a call.
func (c *Client) held() bool {
	raw, err := c.lease.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN) // the launcher never speaks first
	})
	return err == nil && silent
}

func (c *Client) take(ctx context.Context) (*net.UnixConn, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	return c.connect(ctx)
}

func (c *Client) put(conn *net.UnixConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

// do makes one call. Ending ctx breaks the connection, and with it what the launcher
// does for it.
func (c *Client) do(ctx context.Context, request call, files ...*os.File) (answer, error) {
	if request.Version = 1; len(request.Needs) > 0 {
		request.Version = versionOfNeeds
	}
	conn, err := c.take(ctx)
	if err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	var a answer
	if err = send(conn, request, files...); err == nil {
		var with []*os.File
		with, err = receive(conn, &a)
		if len(with) > 0 {
			a.terminal = with[0]
			closeAll(with[1:])
		}
	}
	if !stop() || err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, fmt.Errorf("launcher %s: %w: %w", request.Method, ErrAway, err)
	}
	c.put(conn)
	return a, a.err()
}

// Start implements launcher.Launcher. What the launcher's program would drop is refused.
func (c *Client) Start(ctx context.Context, request launcher.Request) (int, error) {
	trace, needs := launchtrace.Of(ctx), launcher.Needs(request, c.unified)
	a, err := c.do(ctx, call{Method: "start", Start: &request, Needs: needs, Trace: trace != nil})
	trace.Add(a.Marks...)
	trace.Mark(launchtrace.Answer)
	lacks := a.Lacks
	if err != nil && strings.HasPrefix(err.Error(), speaks) {
		lacks = needs
	}
	if len(lacks) > 0 {
		return 0, tooOld(request.ID, c.dir, lacks)
	}
	return a.PID, err
}

// tooOld is what a person reads. An upgrade in place is tried at each start of the agent.
func tooOld(id, dir string, lacks []string) error {
	return fmt.Errorf("start %s: %w: it has no %s; start the agent again to have it replaced, and if its log says that this fails, drain the agent and end the launcher of %s",
		id, launcher.ErrTooOld, strings.Join(lacks, ", no "), dir)
}

// Enter implements launcher.Launcher.
func (c *Client) Enter(ctx context.Context, e launcher.Enter) (int, error) {
	request := call{Method: "enter", Enter: &enterCall{ID: e.ID, Parent: e.Parent, Process: e.Process, Seccomp: e.Seccomp}}
	a, err := c.do(ctx, request, e.Files[0], e.Files[1], e.Files[2])
	return a.PID, err
}

// Terminal implements launcher.Terminals.
func (c *Client) Terminal(ctx context.Context, id string) (*os.File, error) {
	a, err := c.do(ctx, call{Method: "terminal", ID: id})
	if err == nil && a.terminal == nil {
		err = launcher.ErrNoTerminal
	}
	if err != nil {
		return nil, err
	}
	return a.terminal, nil
}

// Wait implements launcher.Launcher.
func (c *Client) Wait(ctx context.Context, id string) (launcher.Exit, error) {
	a, err := c.do(ctx, call{Method: "wait", ID: id})
	if err != nil || a.Exit == nil {
		return launcher.Exit{}, err
	}
	return *a.Exit, nil
}

// Signal implements launcher.Launcher.
func (c *Client) Signal(ctx context.Context, id string, signal syscall.Signal) error {
	_, err := c.do(ctx, call{Method: "signal", ID: id, Signal: int(signal)})
	return err
}

// Destroy implements launcher.Launcher.
func (c *Client) Destroy(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{Method: "destroy", ID: id})
	return err
}

// Remove implements launcher.Launcher.
func (c *Client) Remove(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{Method: "remove", ID: id})
	return err
}

// List implements launcher.Launcher.
func (c *Client) List(ctx context.Context) ([]launcher.Container, error) {
	a, err := c.do(ctx, call{Method: "list"})
	return a.List, err
}

// Stop ends the launcher's process; containers run on.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.do(ctx, call{Method: "stop"})
	if errors.Is(err, ErrAway) {
		return nil // it has ended before its answer was read
	}
	return err
}
