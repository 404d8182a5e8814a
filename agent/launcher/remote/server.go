package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launchtrace"
	"golang.org/x/sys/unix"
)

// serve answers calls on the listener until ctx ends, or until no agent has been connected
// for o.Abandoned, when it destroys all containers first (Mesos --recovery_timeout). Zero
// means never. lock stays held by a program that replaces this one.
func serve(ctx context.Context, o Options, l launcher.Launcher, listener *net.UnixListener, lock *os.File) error {
	// The address may have been through a descriptor that is closed.
	listener.SetUnlinkOnClose(false)
	defer os.Remove(filepath.Join(o.Dir, SocketName))
	ctx, cancel := context.WithCancel(ctx)
	s := &server{launcher: l, log: o.Log, cancel: cancel, abandoned: o.Abandoned, conns: map[*net.UnixConn]bool{}}
	s.hand = hand{options: o, listener: listener, lock: lock}
	s.knows = o.knows()
	s.build, _ = ownBuild() // without one it is never the one that is wanted
	s.absent()
	stop := context.AfterFunc(ctx, func() { listener.Close(); s.closeAll() })
	defer stop()
	defer cancel()
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			s.group.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("launcher socket: %w", err)
		}
		s.group.Go(func() { s.converse(ctx, conn) })
	}
}

type server struct {
	launcher  launcher.Launcher
	log       *slog.Logger
	cancel    context.CancelFunc
	abandoned time.Duration
	group     sync.WaitGroup
	build     string
	knows     knowledge
	hand      hand
	// calls is held for reading by what changes containers, and for writing by an upgrade.
	calls sync.RWMutex

	mu    sync.Mutex
	conns map[*net.UnixConn]bool
	timer *time.Timer
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// absent starts the clock when the last connection has gone.
func (s *server) absent() {
	if s.abandoned > 0 {
		s.timer = time.AfterFunc(s.abandoned, s.abandon)
	}
}

func (s *server) abandon() {
	s.mu.Lock()
	alone := len(s.conns) == 0
	s.mu.Unlock()
	if !alone {
		return
	}
	s.log.Warn("no agent came back; containers are destroyed", "after", s.abandoned)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, _ := s.launcher.List(ctx)
	for _, c := range list {
		if err := s.launcher.Destroy(ctx, c.ID); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
			s.log.Error("abandoned container not destroyed", "container", c.ID, "error", err)
		}
	}
	s.cancel()
}

// converse answers the calls of one connection, one at a time.
func (s *server) converse(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	if err := sameUser(conn); err != nil {
		s.log.Warn("launcher connection refused", "error", err)
		return
	}
	s.mu.Lock()
	s.conns[conn] = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
		if len(s.conns) == 0 {
			s.absent()
		}
	}()
	for {
		var frame json.RawMessage
		files, err := receive(conn, &frame)
		if err != nil {
			return
		}
		c, err := read(frame)
		a := answer{}
		if c.Version <= s.knows.version && err != nil {
			a.Error = fmt.Sprintf("launcher does not understand the agent: %v: restart the launcher", err)
		} else {
			a = s.do(ctx, conn, c, files)
		}
		closeAll(files)
		var with []*os.File
		if a.terminal != nil {
			with = append(with, a.terminal)
		}
		err = send(conn, a, with...)
		closeAll(with)
		if err != nil {
			if c.Start != nil && a.PID != 0 {
				s.calls.RLock()
				s.undo(c.Start.ID)
				s.calls.RUnlock()
			}
			return
		}
	}
}

// read refuses words of a container's description that are not known: dropped, they could stand
// for a bound. Beside it a later agent may say more; what matters is among its needs.
func read(frame []byte) (c call, err error) {
	if strict(frame, &c) == nil {
		return c, nil
	}
	c = call{}
	var described struct{ Start, Enter json.RawMessage }
	if err := errors.Join(json.Unmarshal(frame, &c), json.Unmarshal(frame, &described)); err != nil {
		return c, err
	}
	if c.Start != nil {
		err = strict(described.Start, new(launcher.Request))
	}
	if c.Enter != nil {
		err = errors.Join(err, strict(described.Enter, new(enterCall)))
	}
	return c, err
}

func strict(text []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(to)
}

func (s *server) do(ctx context.Context, conn *net.UnixConn, c call, files []*os.File) (a answer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	if c.Version > s.knows.version {
		return answer{Error: fmt.Sprintf(speaks+"%d, the agent %d: restart the launcher", s.knows.version, c.Version)}
	}
	if lacks := launcher.Missing(c.Needs, s.knows.features); len(lacks) > 0 {
		return answer{Error: "launcher has no " + strings.Join(lacks, ", no "), Lacks: lacks}
	}
	if c.Method != "wait" && c.Method != "upgrade" {
		s.calls.RLock()
		defer s.calls.RUnlock()
	}
	switch c.Method {
	case "build":
		a.Build, a.Features = s.build, s.knows.features
	case "upgrade":
		if len(files) != 1 {
			return answer{Error: "upgrade: no program"}
		}
		err = s.upgrade(ctx, files[0])
	case "start":
		if c.Start == nil {
			return answer{Error: "start: no request"}
		}
		var trace *launchtrace.Trace
		if c.Trace {
			trace = launchtrace.New(launchtrace.Now())
			trace.Mark(launchtrace.Call)
		}
		a.PID, err = s.start(launchtrace.With(ctx, trace), conn, *c.Start)
		a.Marks = trace.Marks()
	case "enter":
		if c.Enter == nil || len(files) == 0 {
			return answer{Error: "enter: no request or no files"}
		}
		enter := launcher.Enter{ID: c.Enter.ID, Parent: c.Enter.Parent, Process: c.Enter.Process, Seccomp: c.Enter.Seccomp}
		for i := range enter.Files {
			enter.Files[i] = files[min(i, len(files)-1)]
		}
		a.PID, err = s.launcher.Enter(ctx, enter)
	case "wait":
		defer hangup(conn, cancel)()
		var exit launcher.Exit
		exit, err = s.launcher.Wait(ctx, c.ID)
		a.Exit = &exit
	case "signal":
		err = s.launcher.Signal(ctx, c.ID, syscall.Signal(c.Signal))
	case "destroy":
		err = s.launcher.Destroy(ctx, c.ID)
	case "remove":
		err = s.launcher.Remove(ctx, c.ID)
	case "terminal":
		keeper, ok := s.launcher.(launcher.Terminals)
		if !ok {
			return answer{Error: launcher.ErrNoTerminal.Error()}
		}
		a.terminal, err = keeper.Terminal(ctx, c.ID)
	case "list":
		a.List, err = s.launcher.List(ctx)
	case "stop":
		s.cancel()
	default:
		return answer{Error: fmt.Sprintf("launcher knows no %q: restart it", c.Method)}
	}
	if err != nil {
		return answer{Error: err.Error(), Unknown: errors.Is(err, launcher.ErrUnknownContainer)}
	}
	return a
}

// start gives up, and leaves nothing, when the agent hangs up meanwhile.
func (s *server) start(ctx context.Context, conn *net.UnixConn, request launcher.Request) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := hangup(conn, cancel)
	pid, err := s.launcher.Start(ctx, request)
	watched()
	if err == nil && ctx.Err() != nil {
		s.undo(request.ID)
		return 0, ctx.Err()
	}
	return pid, err
}

func (s *server) undo(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := s.launcher.Destroy(ctx, id)
	if err == nil {
		_, _ = s.launcher.Wait(ctx, id)
		err = s.launcher.Remove(ctx, id)
	}
	if err != nil {
		s.log.Error("container of a cancelled start stays", "container", id, "error", err)
	}
}

// hangup cancels when the peer closes; what it returns ends the watch. A client that
// waits sends nothing more.
func hangup(conn *net.UnixConn, cancel func()) (end func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var one [1]byte
		if _, err := conn.Read(one[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
		}
	}()
	return func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		<-done
		_ = conn.SetReadDeadline(time.Time{})
	}
}

func sameUser(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) { peer, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if sockErr != nil {
		return sockErr
	}
	if int(peer.Uid) != os.Getuid() {
		return fmt.Errorf("peer is user %d", peer.Uid)
	}
	return nil
}
