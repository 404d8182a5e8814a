package linux

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/agent/sandboxes"
	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/creack/pty"
)

func chownLike(root *os.Root, path string, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 {
		return nil
	}
	return root.Lchown(path, int(stat.Uid), int(stat.Gid))
}

// launchDebug runs a command in the parent's namespaces, with output to its sandbox.
func (c *Containerizer) launchDebug(ctx context.Context, b *box, spec containerizer.Spec) (int, error) {
	for _, to := range []containerizer.State{containerizer.Preparing, containerizer.Fetching, containerizer.Launching} {
		if err := c.advance(spec.ID, to); err != nil {
			return 0, err
		}
	}
	enter, err := c.entering(b, spec)
	if err != nil {
		return 0, err
	}
	if spec.Sandbox != "" {
		b.Disk.Sandbox = spec.Sandbox
		if b.Output, err = c.config.Output.For(spec.Variable); err != nil {
			return 0, err
		}
	}
	for i, name := range []string{"", "stdout", "stderr"} {
		f, err := openOutput(spec.Sandbox, name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		enter.Files[i] = f
	}
	return c.config.Launcher.Enter(ctx, enter)
}

// openOutput opens a file of the output, or what takes everything where there is none.
func openOutput(sandbox, name string) (*os.File, error) {
	if sandbox == "" || name == "" {
		return os.OpenFile(os.DevNull, os.O_RDWR, 0)
	}
	return sandboxes.Append(sandbox, name, os.O_RDWR)
}

func (c *Containerizer) entering(b *box, spec containerizer.Spec) (launcher.Enter, error) {
	parent, nested := spec.ID.Parent()
	if !nested {
		return launcher.Enter{}, fmt.Errorf("container %s: a debug container needs a parent", spec.ID)
	}
	if spec.Container.GetLinuxInfo().GetIpcMode() == mesos.LinuxInfo_PRIVATE {
		return launcher.Enter{}, fmt.Errorf("container %s: %s", spec.ID, textDebugIPC)
	}
	p, err := c.find(parent)
	if err != nil {
		return launcher.Enter{}, err
	}
	b.Debug, b.Shares, b.Cgroup, b.UserFirst = true, true, p.Cgroup, p.UserFirst
	oci := template.Spec("/")
	cwd := spec.Sandbox
	if _, err := os.Stat(filepath.Join(c.dir(parent), "root")); err == nil {
		cwd = cmp.Or(p.SandboxIn, SandboxInImage)
	}
	if cwd == "" {
		cwd = "/"
	}
	if err := c.process(oci, spec, nil, cwd); err != nil {
		return launcher.Enter{}, err
	}
	return launcher.Enter{ID: string(spec.ID), Parent: string(parent), Process: oci.Process, Seccomp: oci.Linux.Seccomp}, checkUsers(b, oci.Process)
}

// Exec implements containerizer.Containerizer.
func (c *Containerizer) Exec(ctx context.Context, exec containerizer.Exec) (containerizer.Session, error) {
	spec := containerizer.Spec{ID: exec.ID, Class: containerizer.Debug, Command: exec.Command, Env: exec.Env, User: exec.User, Sandbox: exec.Sandbox}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b, err := c.begin(spec, cancel)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, id: exec.ID}
	pid, err := c.exec(ctx, b, s, spec, exec)
	if err != nil {
		s.closeOurs()
		c.abandon(b)
		return nil, err
	}
	b.pid = pid
	close(b.ready)
	go c.await(b)
	return s, nil
}

func (c *Containerizer) exec(ctx context.Context, b *box, s *session, spec containerizer.Spec, exec containerizer.Exec) (int, error) {
	spec, err := c.withSecrets(ctx, spec)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	enter, err := c.entering(b, spec)
	if err != nil {
		return 0, err
	}
	if exec.TTY {
		enter.Process.Terminal = true
		enter.Process.Env = append(enter.Process.Env, "TERM=xterm")
	}
	if enter.Files, err = s.open(exec); err != nil {
		return 0, err
	}
	defer func() {
		for i, f := range enter.Files {
			if f != nil && (i == 0 || f != enter.Files[0]) {
				f.Close()
			}
		}
	}()
	if err := givePipes(b, enter.Process, enter.Files); err != nil {
		return 0, err
	}
	pid, err := c.config.Launcher.Enter(ctx, enter)
	if err != nil {
		return 0, err
	}
	return pid, c.advance(spec.ID, containerizer.Running)
}

// session implements containerizer.Session.
type session struct {
	c                     *Containerizer
	id                    containerizer.ID
	terminal              *os.File
	stdin, stdout, stderr *os.File
}

func (s *session) open(exec containerizer.Exec) (theirs [3]*os.File, err error) {
	if exec.TTY {
		master, slave, err := pty.Open()
		if err != nil {
			return theirs, fmt.Errorf("terminal: %w", err)
		}
		s.terminal = master
		if exec.Rows > 0 && exec.Cols > 0 {
			_ = pty.Setsize(master, &pty.Winsize{Rows: exec.Rows, Cols: exec.Cols})
		}
		return [3]*os.File{slave, slave, slave}, nil
	}
	if exec.KeepStdin {
		if theirs[0], s.stdin, err = os.Pipe(); err != nil {
			return theirs, err
		}
	} else if theirs[0], err = os.Open(os.DevNull); err != nil {
		return theirs, err
	}
	if s.stdout, theirs[1], err = os.Pipe(); err != nil {
		return theirs, err
	}
	s.stderr, theirs[2], err = os.Pipe()
	return theirs, err
}

// Stdin implements containerizer.Session.
func (s *session) Stdin() io.WriteCloser {
	switch {
	case s.terminal != nil:
		return s.terminal
	case s.stdin != nil:
		return s.stdin
	}
	return nil
}

// Stdout implements containerizer.Session.
func (s *session) Stdout() io.Reader {
	if s.terminal != nil {
		return terminalReader{s.terminal}
	}
	return s.stdout
}

// terminalReader turns the error that a terminal gives after its last process into
// the end of the file.
type terminalReader struct{ f *os.File }

func (t terminalReader) Read(p []byte) (int, error) {
	n, err := t.f.Read(p)
	if n == 0 && err != nil {
		err = io.EOF
	}
	return n, err
}

// Stderr implements containerizer.Session.
func (s *session) Stderr() io.Reader {
	if s.stderr == nil {
		return nil
	}
	return s.stderr
}

// Resize implements containerizer.Session.
func (s *session) Resize(rows, cols uint16) error {
	if s.terminal == nil {
		return fmt.Errorf("session %s has no terminal", s.id)
	}
	return pty.Setsize(s.terminal, &pty.Winsize{Rows: rows, Cols: cols})
}

// Wait implements containerizer.Session. The output is complete when its readers
// have reached the end.
func (s *session) Wait(ctx context.Context) (containerizer.Termination, error) {
	return s.c.Wait(ctx, s.id)
}

// Close implements containerizer.Session.
func (s *session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), containerizer.LaunchTimeout)
	defer cancel()
	err := s.c.Destroy(ctx, s.id)
	if err == nil {
		if _, err = s.c.Wait(ctx, s.id); err == nil {
			err = s.c.Remove(ctx, s.id)
		}
	}
	s.closeOurs()
	return err
}

func (s *session) closeOurs() {
	for _, f := range []*os.File{s.terminal, s.stdin, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

var _ containerizer.Containerizer = (*Containerizer)(nil)
