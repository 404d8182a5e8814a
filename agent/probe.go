package agent

import (
	"context"
	"io"
	"sync"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/executor/checks"
	"agora.dev/agora/executor/probe"
)

// probe makes a probe and posts its result. At most one for each check is under way: the
// core asks for the next when it has the last.
func (c *containers) probe(p core.ProbeContainer) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		result, err := c.look(p)
		if c.ctx.Err() != nil {
			return // the next agent probes again
		}
		if err != nil {
			c.log.Debug("probe without an answer", "container", p.ID, "error", err)
		}
		c.post(core.ContainerProbed{ID: p.ID, Report: checks.Report{
			Health: p.Probe.Health, Number: p.Probe.Number, Result: result,
		}})
	}()
}

func (c *containers) look(p core.ProbeContainer) (checks.Result, error) {
	if p.Exec == nil {
		return probe.Network(c.ctx, p.Probe, probe.In(p.PID))
	}
	ctx := c.ctx
	if p.Probe.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Probe.Timeout)
		defer cancel()
	}
	how, err := run(ctx, c.runtime, *p.Exec)
	if err != nil || how.Status == nil {
		return checks.Result{}, err
	}
	code := exitCode(syscall.WaitStatus(*how.Status))
	return checks.Result{ExitCode: &code}, nil
}

// run runs a command in a container to its end, without input, and throws its output away.
// Nothing is left of it.
func run(ctx context.Context, runtime containerizer.Containerizer, exec containerizer.Exec) (containerizer.Termination, error) {
	session, err := runtime.Exec(ctx, exec)
	if err != nil {
		return containerizer.Termination{}, err
	}
	var output sync.WaitGroup
	for _, from := range []io.Reader{session.Stdout(), session.Stderr()} {
		output.Go(func() { _, _ = io.Copy(io.Discard, from) })
	}
	how, err := session.Wait(ctx)
	closed := session.Close()
	output.Wait()
	if err == nil {
		err = closed
	}
	return how, err
}

// exitCode is what a shell says of a command's end.
func exitCode(status syscall.WaitStatus) int32 {
	if status.Signaled() {
		return 128 + int32(status.Signal())
	}
	return int32(status.ExitStatus())
}
