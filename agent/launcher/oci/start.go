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
	"agora.dev/agora/agent/launchtrace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Start implements launcher.Launcher.
func (l *Launcher) Start(ctx context.Context, request launcher.Request) (int, error) {
	if request.Spec == nil || request.Spec.Linux == nil || (request.Spec.Process == nil && !request.Pause) {
		return 0, fmt.Errorf("start %s: the specification has no linux or process part", request.ID)
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
	users, err := usersOf(request.Spec)
	if err != nil {
		return err
	}
	if users != nil {
		c.UserFirst = users.first
	}
	if err := l.writeIntent(c); err != nil {
		return err
	}
	if c.place, err = l.place(c.record, cgroups.BoundProcesses(request.Spec.Linux.Resources)); err != nil {
		return err
	}
	trace := launchtrace.Of(ctx)
	trace.Mark(launchtrace.Cgroups)
	s, err := l.bundle(c, request)
	if err != nil {
		return err
	}
	files, err := l.output(c, request)
	if err != nil {
		return err
	}
	defer launcher.CloseFiles(files[:])
	if err := giveTerminal(c.UserFirst, files, request.Spec.Process); err != nil {
		return err
	}
	j := job{process: request.Spec.Process, ownPID: c.OwnPID, ignored: l.ignored}
	if request.Pause {
		j.process = nil
	}
	argv := []string{"run", "--detach", "--bundle", c.dir}
	trace.Mark(launchtrace.Program)
	err = l.run(ctx, c, invocation{scene: s, argv: argv, id: c.ID, job: &j, files: files})
	trace.Mark(launchtrace.Exec)
	return err
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

// output opens the command's files; of a terminal the launcher keeps the other end.
func (l *Launcher) output(c *container, request launcher.Request) ([3]*os.File, error) {
	files, terminal, err := launcher.OpenFiles(request)
	if terminal != nil {
		l.follow(c, *terminal)
	}
	return files, err
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
	if err := giveTerminal(parent.UserFirst, enter.Files, enter.Process); err != nil {
		return err
	}
	j := job{process: enter.Process, ignored: l.ignored}
	if !parent.Seccomp {
		j.filter = enter.Seccomp
	}
	argv := []string{"exec", "--detach", "--process", file}
	s := scene{hidden: l.hidden}
	if parent.UserFirst != 0 { // its network is the machine's, so the runtime knows nothing of it
		s.network = fmt.Sprintf("/proc/%d/ns/net", parent.PID)
	}
	return l.run(ctx, c, invocation{scene: s, argv: argv, id: parent.ID, job: &j, files: enter.Files, move: true})
}
