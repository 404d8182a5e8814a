package core

import (
	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/checks"
)

// ProbeContainer makes one probe of a task's check: a command in the container, or a
// connection to its own address. The answer is ContainerProbed. Probes wait for nothing
// else that is asked of the container, and nothing waits for them.
type ProbeContainer struct {
	ID    containerizer.ID
	PID   int // of the container's init, whose network namespace is that of the task
	Probe checks.Probe
	// Exec is set for a command: what to run, as the task's user and with its
	// environment. Its ID is new.
	Exec *containerizer.Exec
}

// ContainerProbed is the result of a probe.
type ContainerProbed struct {
	ID     containerizer.ID
	Report checks.Report
}

func (ProbeContainer) send()   {}
func (ContainerProbed) event() {}

// probe makes a probe for a built-in executor. One of a container that has gone has no
// answer, and needs none.
func (c *Core) probe(e *executorRun, m executor.Probe) {
	have := c.containers[containerizer.ID(m.Container)]
	if have == nil || !have.live || have.task == nil {
		return
	}
	out := ProbeContainer{ID: have.id, PID: have.pid, Probe: m.Probe}
	if m.Probe.Command != nil {
		out.Exec = c.probeCommand(e, have, m.Probe.Command)
	}
	c.send(out)
}

// probeCommand is the command of a check. Mesos docs/health-checks.md: its user and its
// URIs are ignored.
func (c *Core) probeCommand(e *executorRun, have *container, command *mesos.CommandInfo) *containerizer.Exec {
	spec := c.taskSpec(e, have.id, have.task)
	for _, v := range spec.Command.GetEnvironment().GetVariables() {
		if v.GetType() == mesos.Environment_Variable_VALUE {
			spec.Env[v.GetName()] = v.GetValue()
		}
	}
	return &containerizer.Exec{
		ID:      have.id + ".check-" + containerizer.ID(c.uuidText()),
		Command: command, Env: spec.Env, User: spec.User, Sandbox: spec.Sandbox,
	}
}

func (c *Core) containerProbed(e ContainerProbed) {
	if have := c.containers[e.ID]; have != nil && have.task != nil && have.exec.builtin != nil {
		c.feed(have.exec, executor.Probed{Container: executor.ContainerID(e.ID), Report: e.Report})
	}
}
