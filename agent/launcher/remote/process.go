package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/oci"
	"agora.dev/agora/agent/launcher/systemd"
	"golang.org/x/sys/unix"
)

// Options are those of the launcher's process.
type Options struct {
	// Dir holds socket, lock and records.
	Dir string
	// Abandoned is how long containers outlive their agent.
	Abandoned time.Duration
	// OCI starts containers with an installed OCI runtime; Runtime is its name or path,
	// empty for the first that is found. Otherwise they are started natively.
	OCI     bool
	Runtime string
	// Socket is where systemd is asked for a scope, whose name begins with Scope; empty for none.
	Socket, Scope string
	// Handover is the descriptor of what another program has left that ran in this process
	// before; 0 for none.
	Handover int
	Log      *slog.Logger

	// at hears of the points of an upgrade, and older is what an earlier build knew; for tests.
	at    func(point string)
	older *knowledge
}

// knowledge is what a launcher understands.
type knowledge struct {
	version  int
	features []string
}

func (o Options) knows() knowledge {
	if o.older != nil {
		return *o.older
	}
	return knowledge{Version, launcher.Features()}
}

// Main is the launcher's process: parent and reaper of all containers. It returns
// when ctx ends or no agent has come back; containers run on unless abandoned.
func Main(ctx context.Context, o Options) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("launcher: become reaper: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	state := estate{}
	if o.Handover != 0 {
		state = inherit(o)
	}
	lock, err := state.lockFile(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := o.enterScope(ctx); err != nil {
		return err
	}
	l, err := o.open(ctx, state)
	if err != nil {
		return err
	}
	defer l.Close()
	listener, err := state.listen(o.Dir)
	if err != nil {
		return err
	}
	return serve(ctx, o, l, listener, lock)
}

// scopeTimeout bounds the wait for systemd.
const scopeTimeout = 20 * time.Second

// enterScope leaves the unit of whoever started this process. A launcher that would end with a
// service does not start.
func (o Options) enterScope(ctx context.Context) error {
	if o.Socket == "" || systemd.In(o.Scope) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, scopeTimeout)
	defer cancel()
	scope, err := systemd.Enter(ctx, o.Socket, o.Scope)
	switch {
	case err == nil:
		o.Log.Info("launcher has a scope of its own", "scope", scope)
	case systemd.Service() && o.Handover == 0:
		return fmt.Errorf("launcher: %w", err)
	default:
		o.Log.Warn("launcher has no scope of its own", "error", err)
	}
	return nil
}

// opened is a launcher of either kind.
type opened interface {
	launcher.Launcher
	Close() error
}

// open adopts the containers of whoever was there before.
func (o Options) open(ctx context.Context, state estate) (opened, error) {
	if o.OCI {
		return oci.New(oci.Config{Dir: o.Dir, Runtime: o.Runtime, Log: o.Log, Succeeds: o.Handover != 0, Terminals: state.terminals})
	}
	l, err := native.New(native.Config{Dir: o.Dir, Log: o.Log, Terminals: state.terminals})
	if err != nil {
		return nil, err
	}
	go reap(ctx, l)
	return l, nil
}

// reap ends with ctx.
func reap(ctx context.Context, l *native.Launcher) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	// An init that is about to be reaped by its own watch can hide an orphan behind it.
	again := time.NewTicker(10 * time.Second)
	defer again.Stop()
	for {
		l.ReapOrphans()
		select {
		case <-ended:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// Ensure connects to the launcher in dir, and starts one with the given command when
// none answers. The process has its own session and outlives the caller; its log goes
// to launcher.log in dir.
func Ensure(ctx context.Context, dir string, command ...string) (*Client, error) {
	if c, err := Dial(ctx, dir); err == nil {
		return c, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start launcher: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "launcher.log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start launcher: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start launcher: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // reaps it, should it end before us
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := Dial(ctx, dir); err == nil {
			return c, nil
		}
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("it ended")
			}
			return nil, fmt.Errorf("start launcher: %w%s; see %s", err, lastLine(log.Name()), log.Name())
		case <-ctx.Done():
			return nil, fmt.Errorf("start launcher: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// lastLine is what a launcher said last, to follow an error; empty when there is nothing.
func lastLine(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, max(0, end-4096), 4096))
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return ""
	}
	return ": " + string(b[bytes.LastIndexByte(b, '\n')+1:])
}
