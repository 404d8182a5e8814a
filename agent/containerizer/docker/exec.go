package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Exec implements containerizer.Containerizer.
func (c *Containerizer) Exec(ctx context.Context, exec containerizer.Exec) (containerizer.Session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b, err := c.begin(exec.ID, false, cancel)
	if err != nil {
		return nil, err
	}
	s, err := c.enter(ctx, b, exec)
	if err == nil {
		if err = c.running(b, s.pid, s.exec); err != nil {
			s.abort()
		}
	}
	if err != nil {
		c.abandon(b)
		return nil, err
	}
	c.work.Go(s.watch)
	close(b.ready)
	return s, nil
}

// enter starts a command in a running container.
func (c *Containerizer) enter(ctx context.Context, b *box, exec containerizer.Exec) (*session, error) {
	parent, nested := exec.ID.Parent()
	if !nested {
		return nil, fmt.Errorf("container %s: a command needs a container to enter", exec.ID)
	}
	if p, err := c.find(parent); err != nil {
		return nil, err
	} else if p.nested() {
		return nil, fmt.Errorf("container %s: %s is a command in a container of the Docker Engine", exec.ID, parent)
	}
	if err := c.advance(exec.ID, containerizer.Preparing, containerizer.Fetching, containerizer.Launching); err != nil {
		return nil, err
	}
	options, err := execOptions(exec)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", exec.ID, err)
	}
	made, err := c.engine.ExecCreate(ctx, name(parent), options)
	if err != nil {
		return nil, fmt.Errorf("enter container %s: %w", parent, err)
	}
	attached, err := c.engine.ExecAttach(context.WithoutCancel(ctx), made.ID, client.ExecAttachOptions{TTY: exec.TTY, ConsoleSize: options.ConsoleSize})
	if err != nil {
		return nil, fmt.Errorf("enter container %s: %w", parent, err)
	}
	s := &session{c: c, b: b, exec: made.ID, tty: exec.TTY, stdin: exec.KeepStdin || exec.TTY, conn: attached}
	s.demultiplex()
	found, err := c.started(ctx, made.ID)
	if err != nil {
		s.abort()
		return nil, fmt.Errorf("enter container %s: %w", parent, err)
	}
	if s.pid = found.PID; exec.TTY && exec.Rows > 0 && exec.Cols > 0 && found.Running {
		s.settle(ctx, exec.Rows, exec.Cols)
	}
	return s, nil
}

func execOptions(exec containerizer.Exec) (client.ExecCreateOptions, error) {
	out := client.ExecCreateOptions{TTY: exec.TTY, AttachStdin: exec.KeepStdin || exec.TTY, AttachStdout: true, AttachStderr: !exec.TTY, User: exec.Command.GetUser()}
	switch command := exec.Command; {
	case command.GetShell() && command.Value != nil:
		out.Cmd = []string{"/bin/sh", "-c", command.GetValue()}
	case command.GetValue() != "":
		out.Cmd = []string{command.GetValue()}
		if given := command.GetArguments(); len(given) > 1 {
			out.Cmd = append(out.Cmd, given[1:]...) // the first is the command's own name
		}
	default:
		return out, errors.New("no command")
	}
	for name, value := range exec.Env {
		out.Env = append(out.Env, name+"="+value)
	}
	for _, v := range exec.Command.GetEnvironment().GetVariables() {
		if v.GetType() == mesos.Environment_Variable_SECRET {
			return out, fmt.Errorf("environment variable %s: a Docker Engine shows what it is given; secrets need a container of type MESOS", v.GetName())
		}
		out.Env = append(out.Env, v.GetName()+"="+v.GetValue())
	}
	slices.Sort(out.Env)
	if exec.TTY {
		out.Env = append(out.Env, "TERM=xterm")
		if exec.Rows > 0 && exec.Cols > 0 {
			out.ConsoleSize = client.ConsoleSize{Height: uint(exec.Rows), Width: uint(exec.Cols)}
		}
	}
	return out, nil
}

// started waits until the Engine knows the pid of a command, or that it could not be started.
func (c *Containerizer) started(ctx context.Context, exec string) (client.ExecInspectResult, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		found, err := c.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		if err != nil || found.PID != 0 || !found.Running && found.ExitCode != 0 {
			return found, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}

// awaitExec returns the raw status of a command. The Engine tells nobody of its end: its output ends
// with it, unless a child of it holds that open.
func (c *Containerizer) awaitExec(exec string, drained <-chan struct{}) (int32, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-drained:
			drained = nil
			tick.Reset(10 * time.Millisecond)
		case <-tick.C:
		case <-c.ctx.Done():
			return 0, c.ctx.Err()
		}
		found, err := c.engine.ExecInspect(c.ctx, exec, client.ExecInspectOptions{})
		if err != nil {
			return 0, err
		}
		if !found.Running {
			if code := found.ExitCode; code > signalled && code < signalled+65 {
				return int32(code - signalled), nil
			}
			return int32(found.ExitCode) << 8, nil
		}
	}
}

// signalExec signals a command and its session. It is looked for again after its pidfd is open,
// so that the pid is not another's by then.
func (c *Containerizer) signalExec(ctx context.Context, exec string, pid int, signal syscall.Signal) error {
	if pid == 0 {
		return nil // it has not started
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil // it has ended
	}
	defer unix.Close(pidfd)
	found, err := c.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
	if err != nil || !found.Running || found.PID != pid {
		return err
	}
	err = unix.PidfdSendSignal(pidfd, signal, nil, 0)
	if signal == syscall.SIGKILL {
		_ = unix.Kill(-pid, signal) // it leads a session of its own
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// session implements containerizer.Session.
type session struct {
	c              *Containerizer
	b              *box
	exec           string // the Engine's id of the command
	pid            int    // 0 for a command that could not be started
	tty, stdin     bool
	conn           client.ExecAttachResult
	stdout, stderr *io.PipeReader
	drained        chan struct{}
	forget         func() bool // undoes that the agent's end hangs up
}

// demultiplex splits the connection into the two outputs.
func (s *session) demultiplex() {
	s.drained = make(chan struct{})
	outRead, outWrite := io.Pipe()
	errRead, errWrite := io.Pipe()
	s.stdout, s.stderr = outRead, errRead
	s.forget = context.AfterFunc(s.c.ctx, s.hangUp)
	if s.tty {
		s.c.work.Go(func() {
			_, err := io.Copy(outWrite, s.conn.Reader)
			outWrite.CloseWithError(err)
			close(s.drained)
		})
		return
	}
	s.c.work.Go(func() {
		_, err := stdcopy.StdCopy(outWrite, errWrite, s.conn.Reader)
		outWrite.CloseWithError(err)
		errWrite.CloseWithError(err)
		close(s.drained)
	})
}

// watch tells the end of the command.
func (s *session) watch() {
	status, err := s.c.awaitExec(s.exec, s.drained)
	if err != nil && s.c.ctx.Err() != nil {
		return
	}
	result := containerizer.Termination{Status: &status}
	if err != nil {
		result = containerizer.Termination{Message: err.Error()}
	}
	s.c.end(s.b, result)
}

// abort ends a command whose launch is given up. Its start may still be under way.
func (s *session) abort() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.c.ctx), containerizer.LaunchTimeout)
	defer cancel()
	s.forget()
	s.hangUp()
	found, err := s.c.started(ctx, s.exec)
	if err == nil {
		err = s.c.signalExec(ctx, s.exec, found.PID, syscall.SIGKILL)
	}
	if err != nil {
		s.c.log.Error("command that was given up is left in the container", "container", s.b.id, "error", err)
	}
}

// hangUp lets go of the connection, whoever reads or writes.
func (s *session) hangUp() {
	s.conn.Close()
	s.stdout.Close()
	s.stderr.Close()
}

// Stdin implements containerizer.Session.
func (s *session) Stdin() io.WriteCloser {
	if !s.stdin {
		return nil
	}
	return input{s}
}

// input ends the command's input when it is closed, and leaves the output.
type input struct{ s *session }

// Write implements io.Writer.
func (i input) Write(p []byte) (int, error) { return i.s.conn.Conn.Write(p) }

// Close implements io.Closer.
func (i input) Close() error { return i.s.conn.CloseWrite() }

// Stdout implements containerizer.Session.
func (s *session) Stdout() io.Reader { return s.stdout }

// Stderr implements containerizer.Session.
func (s *session) Stderr() io.Reader {
	if s.tty {
		return nil
	}
	return s.stderr
}

// Resize implements containerizer.Session.
func (s *session) Resize(rows, cols uint16) error {
	if !s.tty {
		return fmt.Errorf("session %s has no terminal", s.b.id)
	}
	_, err := s.c.engine.ExecResize(s.c.ctx, s.exec, client.ExecResizeOptions{Height: uint(rows), Width: uint(cols)})
	return err
}

// settle sets the first size. An Engine before 23.0 does not take it at the start, and none takes it
// before the terminal is there.
func (s *session) settle(ctx context.Context, rows, cols uint16) {
	for pause := time.Millisecond; pause < time.Second; pause *= 2 {
		if s.Resize(rows, cols) == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// Wait implements containerizer.Session.
func (s *session) Wait(ctx context.Context) (containerizer.Termination, error) {
	return s.c.Wait(ctx, s.b.id)
}

// Close implements containerizer.Session.
func (s *session) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.c.ctx), containerizer.LaunchTimeout)
	defer cancel()
	err := s.c.Destroy(ctx, s.b.id)
	s.forget()
	s.hangUp()
	if err != nil {
		return err
	}
	if _, err = s.c.Wait(ctx, s.b.id); err == nil {
		err = s.c.Remove(ctx, s.b.id)
	}
	return err
}
