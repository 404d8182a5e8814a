package core

import (
	"bytes"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
	"agora.dev/agora/internal/planted"
)

// builtinCore is a built-in executor's core.
type builtinCore = executor.Core

// signalTerminate is SIGTERM.
const signalTerminate = 15

// delivery is an input on its way to a built-in executor.
type delivery struct {
	exec  *executorRun
	input executor.Input
}

func (c *Core) feed(e *executorRun, in executor.Input) {
	c.pending = append(c.pending, delivery{e, in})
}

// pump steps built-in executors until nothing is left to tell them. Their states are
// written once, after the updates that they caused: a core that is restored from an
// older state repeats an update that is dropped, and loses none.
func (c *Core) pump() {
	var touched []*executorRun
	for len(c.pending) > 0 {
		next := c.pending[0]
		c.pending = c.pending[1:]
		e := next.exec
		if e.state == terminated || e.builtin == nil {
			continue
		}
		r := e.builtin.Step(c.now, next.input)
		e.assign(r.Commands)
		if announcesKill(r) && !planted.Active("agent-late-kill-state") {
			// A kill that was announced must not be forgotten: nobody would repeat it.
			c.persist(WriteExecutorState{Run: e.run, State: r.State})
			e.onDisk = nil
		}
		for _, call := range r.Calls {
			c.builtinCall(e, call)
		}
		for _, command := range r.Commands {
			c.containerCommand(e, command)
		}
		if r.State != nil {
			if e.coreState == nil {
				touched = append(touched, e)
			}
			e.coreState = r.State
		}
		e.wake = r.Wake
		c.timers.arm(e)
		if r.Done {
			c.builtinDone(e)
		}
	}
	for _, e := range touched {
		if e.state != terminated && !bytes.Equal(e.coreState, e.onDisk) {
			c.persist(WriteExecutorState{Run: e.run, State: e.coreState})
		}
		e.coreState, e.onDisk = nil, nil
	}
}

func announcesKill(r executor.Ready) bool {
	for _, call := range r.Calls {
		if call.GetUpdate().GetStatus().GetState() == mesos.TaskState_TASK_KILLING {
			return r.State != nil
		}
	}
	return false
}

// assign notes which container each task is to have, before its updates name it.
func (e *executorRun) assign(commands []executor.Command) {
	for _, command := range commands {
		if m, ok := command.(executor.Launch); ok && e.tasks[taskID(m.Task)] != nil {
			e.tasks[taskID(m.Task)].container = containerizer.ID(m.Container)
		}
	}
}

// connectBuiltin is SUBSCRIBE and SUBSCRIBED of an executor within the agent.
func (c *Core) connectBuiltin(e *executorRun) {
	e.state = running
	c.feed(e, executor.FromAgent{Event: c.subscribedEvent(e)})
	c.deliverQueued(e)
}

func (c *Core) subscribedEvent(e *executorRun) *execapi.Event {
	return &execapi.Event{
		Type: execapi.Event_SUBSCRIBED.Enum(),
		Subscribed: &execapi.Event_Subscribed{
			ExecutorInfo: e.info, FrameworkInfo: e.framework.info, AgentInfo: c.shownInfo(),
			ContainerId: e.run.Container.Proto(),
		},
	}
}

// shownInfo is what executors are told of the agent, as in Mesos without what masters are told of
// checkpoints.
func (c *Core) shownInfo() *mesos.AgentInfo {
	if c.shownOf != c.info {
		c.shown, c.shownOf = cloneInfo(c.info), c.info
		c.shown.Checkpoint = nil
	}
	return c.shown
}

// builtinDone ends an executor that has nothing left to do.
func (c *Core) builtinDone(e *executorRun) {
	if e.kind == Command {
		c.executorEnded(e, containerizer.Termination{})
		return
	}
	if !e.destroying && len(e.queued) == 0 {
		e.state = terminating
		c.destroy(e)
	}
}

func (c *Core) builtinCall(e *executorRun, call *execapi.Call) {
	switch call.GetType() {
	case execapi.Call_UPDATE:
		c.update(e, call.GetUpdate().GetStatus())
	case execapi.Call_MESSAGE:
		c.executorMessage(e, call.GetMessage().GetData())
	}
}

func (c *Core) containerCommand(e *executorRun, command executor.Command) {
	switch m := command.(type) {
	case executor.Launch:
		if t := e.tasks[taskID(m.Task)]; t != nil {
			c.launchTask(e, containerizer.ID(m.Container), t)
		}
	case executor.Terminate:
		c.send(SignalContainer{ID: containerizer.ID(m.Container), Signal: signalTerminate})
	case executor.Probe:
		c.probe(e, m)
	case executor.Destroy:
		c.send(DestroyContainer{ID: containerizer.ID(m.Container)})
	case executor.Remove:
		c.removeContainer(containerizer.ID(m.Container))
	}
}

func (c *Core) removeContainer(id containerizer.ID) {
	delete(c.containers, id)
	c.send(RemoveContainer{ID: id})
}

// deliver sends an event to an executor of any kind.
func (c *Core) deliver(e *executorRun, event *execapi.Event) {
	if e.builtin != nil {
		c.feed(e, executor.FromAgent{Event: event})
		return
	}
	if e.connection != 0 {
		c.send(ToExecutor{Connection: e.connection, Event: event})
	}
}

// deliverQueued hands the queue to an executor that has subscribed.
func (c *Core) deliverQueued(e *executorRun) {
	queued := e.queued
	e.queued = nil
	if len(queued) > 0 && e.kind != Command {
		c.resize(e)
	}
	for _, l := range queued {
		event := &execapi.Event{Type: execapi.Event_LAUNCH.Enum()}
		if l.group || e.kind == TaskGroup {
			group := &mesos.TaskGroupInfo{}
			for _, t := range l.tasks {
				group.Tasks = append(group.Tasks, t.info)
			}
			event.Type = execapi.Event_LAUNCH_GROUP.Enum()
			event.LaunchGroup = &execapi.Event_LaunchGroup{TaskGroup: group}
		} else {
			event.Launch = &execapi.Event_Launch{Task: l.tasks[0].info}
		}
		for _, t := range l.tasks {
			t.delivered = true
		}
		c.deliver(e, event)
	}
}

// resize fits the executor's own container to its tasks.
func (c *Core) resize(e *executorRun) {
	if own := c.containers[e.run.Container]; own != nil && own.live {
		c.send(UpdateContainer{ID: e.run.Container, Resources: e.demand(), Limits: e.ceilings()})
	}
}
