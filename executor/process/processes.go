package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
)

// processes are the tasks' commands, by the container that the core thinks of.
type processes struct {
	sandbox string
	post    func(executor.Input)

	mu    sync.Mutex
	alive map[executor.ContainerID]*exec.Cmd
}

func newProcesses(sandbox string, post func(executor.Input)) *processes {
	return &processes{sandbox: sandbox, post: post, alive: map[executor.ContainerID]*exec.Cmd{}}
}

func (p *processes) do(c executor.Command) {
	switch c := c.(type) {
	case executor.Launch:
		if err := p.launch(c); err != nil {
			// The core's goroutine must not wait for itself.
			go p.post(executor.LaunchFailed{Container: c.Container, Message: err.Error()})
		}
	case executor.Terminate:
		p.signal(c.Container, syscall.SIGTERM)
	case executor.Probe:
		go p.probe(c)
	case executor.Destroy:
		p.signal(c.Container, syscall.SIGKILL)
	case executor.Remove:
	}
}

// refusal says what a task needs that a plain process does not have.
func refusal(t *mesos.TaskInfo) error {
	switch {
	case t.GetCommand() == nil:
		return errors.New("the task has no command")
	case t.GetContainer() != nil:
		return errors.New("this executor runs plain processes: the task's container is not supported")
	case len(t.GetCommand().GetUris()) > 0:
		return errors.New("this executor runs plain processes: the task's URIs are not fetched")
	}
	return nil
}

func (p *processes) launch(l executor.Launch) error {
	if err := refusal(l.Task); err != nil {
		return err
	}
	cmd := p.command(l.Container, l.Task.GetCommand())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	var files []*os.File
	if cmd.Dir != p.sandbox {
		out, err := outputs(cmd.Dir)
		if err != nil {
			return err
		}
		files, cmd.Stdout, cmd.Stderr = out, out[0], out[1]
	}
	err := cmd.Start()
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p.mu.Lock()
	p.alive[l.Container] = cmd
	p.mu.Unlock()
	go p.watch(l.Container, cmd)
	return nil
}

func invocation(info *mesos.CommandInfo) *exec.Cmd {
	if info.GetShell() {
		return exec.Command("/bin/sh", "-c", info.GetValue())
	}
	cmd := exec.Command(info.GetValue())
	if args := info.GetArguments(); len(args) > 0 {
		cmd.Args = args
	}
	return cmd
}

// directory is the sandbox of a container.
func (p *processes) directory(id executor.ContainerID) string {
	if _, nested, ok := strings.Cut(string(id), "."); ok {
		return filepath.Join(p.sandbox, "containers", nested)
	}
	return p.sandbox
}

func environment(infos ...*mesos.CommandInfo) []string {
	out := os.Environ()
	for _, info := range infos {
		for _, v := range info.GetEnvironment().GetVariables() {
			out = append(out, v.GetName()+"="+v.GetValue())
		}
	}
	return out
}

func outputs(dir string) ([]*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var files []*os.File
	for _, name := range []string{"stdout", "stderr"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func (p *processes) watch(id executor.ContainerID, cmd *exec.Cmd) {
	p.post(executor.Launched{Container: id, PID: cmd.Process.Pid})
	err := cmd.Wait()
	p.mu.Lock()
	delete(p.alive, id)
	p.mu.Unlock()
	// What the command left behind goes with it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	how := executor.Termination{}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		raw := int32(status)
		how.Status = &raw
	} else if err != nil {
		how.Message = err.Error()
	}
	p.post(executor.Terminated{Container: id, Termination: how})
}

func (p *processes) signal(id executor.ContainerID, s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cmd := p.alive[id]; cmd != nil {
		_ = syscall.Kill(-cmd.Process.Pid, s)
	}
}

func (p *processes) destroyAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cmd := range p.alive {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
