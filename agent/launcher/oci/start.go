package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start implements launcher.Launcher.
func (l *Launcher) Start(ctx context.Context, request launcher.Request) (int, error) {
	if request.Spec == nil || request.Spec.Linux == nil || (request.Spec.Process == nil && !request.Pause) {
		return 0, fmt.Errorf("start %s: the specification has no linux or process part", request.ID)
	}
	for _, n := range request.Spec.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			return 0, fmt.Errorf("start %s: the oci launcher makes no user namespaces; use --launcher=native", request.ID)
		}
	}
	c, err := l.reserve(request.ID, "")
	if err != nil {
		return 0, err
	}
	if err := l.start(ctx, c, request); err != nil {
		l.discard(c)
		return 0, fmt.Errorf("start %s: %w", request.ID, err)
	}
	return c.PID, nil
}

func (l *Launcher) start(ctx context.Context, c *container, request launcher.Request) error {
	c.Cgroup = request.Spec.Linux.CgroupsPath
	if with, ok := request.Spec.Annotations[native.Share]; ok {
		c.Cgroup, c.Shared = with, true
	}
	c.OwnPID, c.Seccomp = hasOwnPIDs(request.Spec), request.Spec.Linux.Seccomp != nil
	if err := l.writeIntent(c); err != nil {
		return err
	}
	var err error
	if c.place, err = l.place(c.record, cgroups.BoundProcesses(request.Spec.Linux.Resources)); err != nil {
		return err
	}
	s, err := l.bundle(c, request)
	if err != nil {
		return err
	}
	files, err := l.output(c, request)
	if err != nil {
		return err
	}
	defer closeAll(files[:])
	j := job{process: request.Spec.Process, ownPID: c.OwnPID}
	if request.Pause {
		j.process = nil
	}
	argv := []string{"run", "--detach", "--bundle", c.dir}
	return l.run(ctx, c, invocation{scene: s, argv: argv, id: c.ID, job: &j, files: files})
}

func (l *Launcher) writeIntent(c *container) error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	c.Boot = l.boot
	return c.write()
}

func hasOwnPIDs(spec *specs.Spec) bool {
	for _, n := range spec.Linux.Namespaces {
		if n.Type == specs.PIDNamespace {
			return n.Path == ""
		}
	}
	return false
}

// output opens what the command reads and writes: /dev/null and files opened for
// append, or a terminal whose other end the launcher keeps.
func (l *Launcher) output(c *container, request launcher.Request) (files [3]*os.File, err error) {
	if request.Spec.Process != nil && request.Spec.Process.Terminal {
		return l.terminal(c, request)
	}
	if files[0], err = os.Open(os.DevNull); err != nil {
		return files, err
	}
	for i, name := range []string{request.Stdout, request.Stderr} {
		if files[i+1], err = appendTo(name); err != nil {
			closeAll(files[:])
			return files, err
		}
	}
	return files, nil
}

func appendTo(name string) (*os.File, error) {
	if name == "" {
		name = os.DevNull
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
}

func (l *Launcher) terminal(c *container, request launcher.Request) (files [3]*os.File, err error) {
	out, err := appendTo(request.Stdout)
	if err != nil {
		return files, err
	}
	master, slave, err := launcher.OpenTerminal(request.Spec.Process.ConsoleSize)
	if err != nil {
		out.Close()
		return files, err
	}
	l.follow(c, launcher.Terminal{ID: c.ID, Outer: master, File: out})
	return [3]*os.File{slave, slave, slave}, nil
}

func closeAll(files []*os.File) {
	for i, f := range files {
		if f != nil && (i == 0 || f != files[0]) {
			f.Close()
		}
	}
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
	if enter.Process == nil || len(enter.Process.Args) == 0 {
		return 0, fmt.Errorf("enter %s: no command", enter.Parent)
	}
	c, err := l.reserve(enter.ID, enter.Parent)
	if err != nil {
		return 0, err
	}
	if err := l.enter(ctx, c, parent, enter); err != nil {
		l.discard(c)
		return 0, fmt.Errorf("enter %s: %w", enter.Parent, err)
	}
	return c.PID, nil
}

func (l *Launcher) enter(ctx context.Context, c, parent *container, enter launcher.Enter) error {
	c.Cgroup, c.Shared = parent.Cgroup, true
	if err := l.writeIntent(c); err != nil {
		return err
	}
	var err error
	if c.place, err = l.place(c.record, nil); err != nil {
		return err
	}
	process := *enter.Process
	process.Args, process.Terminal, process.ConsoleSize = initArgs, false, nil
	process.Env = nil // it may hold secrets, and this is written down; the init has it
	file := filepath.Join(c.dir, "process.json")
	b, err := json.Marshal(process)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	j := job{process: enter.Process}
	if !parent.Seccomp {
		j.filter = enter.Seccomp
	}
	argv := []string{"exec", "--detach", "--process", file}
	return l.run(ctx, c, invocation{scene: scene{hidden: l.hidden}, argv: argv, id: parent.ID, job: &j, files: enter.Files, move: true})
}
