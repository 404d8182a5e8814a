package native

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/launchtrace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (l *Launcher) start(ctx context.Context, c *container, request launcher.Request) error {
	spec := request.Spec
	path, shared := spec.Linux.CgroupsPath, false
	if with, ok := spec.Annotations[Share]; ok {
		path, shared = with, true
	}
	c.Cgroup, c.Shared, c.OwnPID = path, shared, hasOwn(spec, specs.PIDNamespace)
	trace := launchtrace.Of(ctx)
	if err := l.writeIntent(c); err != nil {
		return err
	}
	trace.Mark(launchtrace.Record)
	var err error
	if c.place, err = l.place(path, c.ID, shared, cgroups.BoundProcesses(spec.Linux.Resources)); err != nil {
		return err
	}
	c.Shares = c.place.shares
	trace.Mark(launchtrace.Cgroups)
	j := job{spec: spec, overlay: request.Overlay, pause: request.Pause, tasks: c.place.tasks, cpuTasks: c.place.cpuTasks, output: [2]string{request.Stdout, request.Stderr}, ignored: l.ignored}
	if j.users, err = identitiesOf(spec); err != nil {
		return err
	}
	files, err := l.output(c, request)
	if err != nil {
		return err
	}
	err = l.run(ctx, c, j, files)
	launcher.CloseFiles(files[:])
	return err
}

func hasOwn(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range spec.Linux.Namespaces {
		if n.Type == kind {
			return n.Path == ""
		}
	}
	return false
}

// output opens the command's files; of a terminal the launcher keeps the other end.
func (l *Launcher) output(c *container, request launcher.Request) ([3]*os.File, error) {
	files, terminal, err := launcher.OpenFiles(request)
	if terminal != nil {
		l.follow(c, *terminal)
	}
	return files, err
}

// run clones the shim, gives it its program and waits until the command has been
// executed.
func (l *Launcher) run(ctx context.Context, c *container, j job, files [3]*os.File) error {
	trace := launchtrace.Of(ctx)
	if trace != nil {
		j.times = &times{}
	}
	j.filters = &l.filters
	program, err := compile(j)
	if err != nil {
		return err
	}
	code, err := programFile(program)
	if err != nil {
		return err
	}
	defer code.Close()
	status, err := os.OpenFile(filepath.Join(c.dir, "status"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer status.Close()
	report, reportEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	inherited := []*os.File{files[0], files[1], files[2], code, reportEnd, status, l.exeFile}
	if j.users != nil && j.users.path == "" {
		users, err := l.newUserNamespace(j.spec.Linux.UIDMappings)
		if err != nil {
			return err
		}
		defer users.Close()
		inherited = append(inherited, users)
	}
	trace.Mark(launchtrace.Program)
	err = l.clone(c, j, inherited)
	reportEnd.Close()
	if err != nil {
		return err
	}
	if err := l.writePID(c); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0) })
	failure, err := io.ReadAll(report)
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if len(failure) >= 8 {
		at, errno := binary.LittleEndian.Uint32(failure), binary.LittleEndian.Uint32(failure[4:])
		return &StartError{Step: program.Name(int(at)), Errno: syscall.Errno(errno)}
	}
	if err := c.place.settle(); err != nil {
		return err
	}
	trace.Add(j.times.read(code)...)
	trace.Mark(launchtrace.Exec)
	return l.observe(c)
}

// shimPath names the shim in the child. It is among the child's files, and not some
// descriptor of ours, because ForkExec may put a file on any other number.
const shimPath = "/proc/self/fd/6"

// StartError is the first call of a container's start that failed.
type StartError struct {
	Step  string
	Errno syscall.Errno
}

// Error names the step and the cause.
func (e *StartError) Error() string { return e.Step + ": " + e.Errno.Error() }

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Errno }

func (l *Launcher) clone(c *container, j job, files []*os.File) error {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	attr := &syscall.SysProcAttr{Setsid: true, PidFD: &c.pidfd}
	if j.enter == 0 {
		attr.Cloneflags = cloneFlags(j.spec)
	}
	if c.place.unified != "" {
		fd, err := unix.Open(c.place.unified, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open cgroup: %w", err)
		}
		defer unix.Close(fd)
		attr.UseCgroupFD, attr.CgroupFD = true, fd
	}
	l.forks.RLock()
	defer l.forks.RUnlock()
	pid, err := syscall.ForkExec(shimPath, []string{"agora-init"}, &syscall.ProcAttr{Dir: "/", Files: fds, Env: []string{}, Sys: attr})
	if err != nil {
		c.pidfd = 0
		return fmt.Errorf("clone: %w", err)
	}
	l.mu.Lock()
	c.PID = pid
	l.mu.Unlock()
	if c.pidfd <= 0 {
		return errors.New("the kernel has no pidfd: Linux 5.12 or newer is needed")
	}
	return nil
}

// programFile holds a program for the shim, which maps it.
func programFile(program *shim.Program) (*os.File, error) {
	list, data, err := program.Encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("agora-start", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	f := os.NewFile(uintptr(fd), "agora-start")
	_, err = f.Write(list)
	if err == nil {
		_, err = f.WriteAt(data, shim.DataAt)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("program: %w", err)
	}
	return f, nil
}

// Enter implements launcher.Launcher.
func (l *Launcher) Enter(ctx context.Context, enter launcher.Enter) (int, error) {
	parent, err := l.find(enter.Parent)
	if err != nil {
		return 0, err
	}
	if parent.ended() {
		return 0, fmt.Errorf("enter %s: it has ended", enter.Parent)
	}
	c, err := l.reserve(enter.ID, enter.Parent)
	if err != nil {
		return 0, err
	}
	if err := l.enter(ctx, c, parent, enter); err != nil {
		l.discard(c)
		return 0, fmt.Errorf("enter %s: %w", enter.Parent, err)
	}
	l.started(c)
	return c.PID, nil
}

func (l *Launcher) enter(ctx context.Context, c, parent *container, enter launcher.Enter) error {
	c.Cgroup, c.Shared = parent.Cgroup, true
	if err := l.writeIntent(c); err != nil {
		return err
	}
	var err error
	if c.place, err = l.place(parent.Cgroup, c.ID, true, nil); err != nil {
		return err
	}
	spec := &specs.Spec{Process: enter.Process, Linux: &specs.Linux{Seccomp: nil}}
	if enter.Seccomp != nil {
		spec.Linux.Seccomp = enter.Seccomp
	}
	users, err := identitiesIn(parent.PID)
	if err != nil {
		return err
	}
	return l.run(ctx, c, job{spec: spec, enter: parent.PID, tasks: c.place.tasks, cpuTasks: c.place.cpuTasks, users: users, ignored: l.ignored}, enter.Files)
}
