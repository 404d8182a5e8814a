package process

import (
	"context"
	"os/exec"
	"syscall"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/checks"
	"agora.dev/agora/executor/probe"
)

// probe makes a probe from where the tasks are: their network is the executor's.
func (p *processes) probe(m executor.Probe) {
	var result checks.Result
	if m.Probe.Command != nil {
		result = p.probeCommand(m)
	} else {
		result, _ = probe.Network(context.Background(), m.Probe, probe.Host)
	}
	p.post(executor.Probed{Container: m.Container, Report: checks.Report{
		Health: m.Probe.Health, Number: m.Probe.Number, Result: result,
	}})
}

// probeCommand runs the command of a check where the task runs, with its environment.
func (p *processes) probeCommand(m executor.Probe) checks.Result {
	ctx := context.Background()
	if m.Probe.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Probe.Timeout)
		defer cancel()
	}
	cmd := p.command(m.Container, m.Task.GetCommand(), m.Probe.Command)
	if err := cmd.Start(); err != nil {
		return checks.Result{}
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	_ = cmd.Wait() // the status says more
	if !stop() || cmd.ProcessState == nil {
		return checks.Result{}
	}
	code := int32(cmd.ProcessState.ExitCode())
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int32(status.Signal())
	}
	return checks.Result{ExitCode: &code}
}

// command is a process in a container's directory; the environment of each of infos is
// added, and the last one is what runs.
func (p *processes) command(id executor.ContainerID, infos ...*mesos.CommandInfo) *exec.Cmd {
	cmd := invocation(infos[len(infos)-1])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env, cmd.Dir = environment(infos...), p.directory(id)
	return cmd
}
