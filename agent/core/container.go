package core

import (
	"slices"
	"strings"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
)

// sortIDs puts children before their parents, and is otherwise alphabetical.
func sortIDs(ids []containerizer.ID) []containerizer.ID {
	slices.SortFunc(ids, func(a, b containerizer.ID) int { return -strings.Compare(string(a), string(b)) })
	return ids
}

func (c *Core) containerLaunched(e ContainerLaunched) {
	have := c.containers[e.ID]
	if have == nil {
		c.send(DestroyContainer{ID: e.ID}) // its task was given up meanwhile
		return
	}
	have.live, have.pid, have.status = true, e.PID, e.Status
	run := have.exec
	switch {
	case have.task != nil:
		c.feed(run, executor.Launched{Container: executor.ContainerID(e.ID), PID: e.PID})
	case run.kind == TaskGroup && run.state == registering:
		if len(run.queued) == 0 { // all its groups were killed meanwhile
			run.state = terminating
			c.destroy(run)
			return
		}
		c.connectBuiltin(run)
	}
}

func (c *Core) containerLaunchFailed(e ContainerLaunchFailed) {
	have := c.containers[e.ID]
	if have == nil {
		return
	}
	c.counters.LaunchErrors++
	c.note("container not launched", "container", e.ID, "error", e.Message)
	if have.task != nil {
		delete(c.containers, e.ID)
		if have.exec.givenUp() {
			return
		}
		c.feed(have.exec, executor.LaunchFailed{Container: executor.ContainerID(e.ID), Message: e.Message})
		return
	}
	delete(c.containers, e.ID)
	if have.exec.cause == nil {
		have.exec.cause = &Cause{Reason: mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED, Message: e.Message}
	}
	c.executorEnded(have.exec, containerizer.Termination{})
}

func (c *Core) containerNotSignalled(e ContainerNotSignalled) {
	if have := c.containers[e.ID]; have != nil && have.live && have.task != nil && have.exec.builtin != nil {
		c.feed(have.exec, executor.TerminateFailed{Container: executor.ContainerID(e.ID)})
	}
}

// containerNotUpdated ends an executor whose container does not have what its tasks need: they
// would run without the bounds that were promised. Mesos slave.cpp does the same.
func (c *Core) containerNotUpdated(e ContainerNotUpdated) {
	have := c.containers[e.ID]
	if have == nil || !have.live || have.exec.state == terminated || have.exec.destroying {
		return
	}
	run := have.exec
	c.note("container not updated", "container", e.ID, "error", e.Message)
	run.cause = &Cause{Reason: mesos.TaskStatus_REASON_CONTAINER_UPDATE_FAILED, Message: "Failed to update resources for container: " + e.Message}
	run.state = terminating
	c.destroy(run)
}

// givenUp reports whether the run ends because its container could not be updated: the reason
// of its tasks is then the agent's, not that of their own containers' ends.
func (e *executorRun) givenUp() bool {
	return e.cause != nil && e.cause.Reason == mesos.TaskStatus_REASON_CONTAINER_UPDATE_FAILED
}

func (c *Core) containerTerminated(e ContainerTerminated) {
	have := c.containers[e.ID]
	if have == nil {
		c.send(RemoveContainer{ID: e.ID})
		return
	}
	have.live = false
	if e.ID != have.exec.run.Container || have.exec.kind == Command {
		if have.exec.builtin == nil || have.exec.givenUp() {
			c.removeContainer(e.ID)
			return
		}
		c.feed(have.exec, executor.Terminated{
			Container: executor.ContainerID(e.ID), Termination: executor.Termination(e.Termination),
		})
		return
	}
	// The root of a pod ends after its children: what the core still holds has no
	// container any more. It is told before the executor is given up.
	c.pump()
	c.executorEnded(have.exec, e.Termination)
}
