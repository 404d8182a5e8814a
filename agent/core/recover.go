package core

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/internal/planted"
)

// Known lists the containers that a containerizer is to adopt for this state.
func (s *State) Known() []containerizer.ID {
	var ids []containerizer.ID
	for _, f := range s.Frameworks {
		for _, e := range f.Executors {
			if e.Ended {
				continue
			}
			ids = append(ids, e.Run.Container)
			for _, t := range e.Tasks {
				if id, ok := t.nested(); ok {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}

// nested is the container of a task within its executor's.
func (t *TaskState) nested() (containerizer.ID, bool) {
	for _, u := range t.Updates {
		if id := u.Status.GetContainerStatus().GetContainerId(); id.GetParent() != nil {
			return containerizer.IDOf(id), true
		}
	}
	return "", false
}

// adopted are the containers of one run that were found: its own, and those nested in it.
type adopted []containerizer.Recovered

// own is the run's own container; ok is false when it was not found.
func (a adopted) own(e *executorRun) (have containerizer.Recovered, ok bool) {
	for _, have := range a {
		if have.ID == e.run.Container {
			return have, true
		}
	}
	return have, false
}

// recover rebuilds what an earlier process of this agent knew, and compares it with
// what is still there.
func (c *Core) recover(r Recovered) {
	c.recovered = true
	state := r.State
	if state == nil {
		state = &State{}
	}
	if state.Agent != nil {
		info := proto.CloneOf(c.config.Info)
		info.Id = state.Agent.GetId()
		if why := c.config.Reconfiguration.incompatible(state.Agent, info); why != "" {
			if !state.Rebooted {
				c.send(Exit{Err: fmt.Errorf("recover agent %s: %s; start it as before, or with a fresh --work_dir",
					info.GetId().GetValue(), why)})
				return
			}
			c.note("started as a new agent after a reboot", "was", info.GetId().GetValue(), "because", why)
			info.Id = nil
			state = &State{Resources: state.Resources, Operations: state.Operations} // reservations and volumes are the machine's
		}
		c.info = info
		if info.Id != nil && !proto.Equal(state.Agent, info) {
			c.persist(WriteAgent{Info: info})
			c.note("agent reconfigured", "agent", info.GetId().GetValue())
		}
	}
	if err := c.recoverResources(state); err != nil {
		c.send(Exit{Err: err})
		return
	}
	c.drain, c.drainSince = state.Drain, c.now
	found := map[containerizer.ID]adopted{}
	for _, have := range r.Containers {
		found[have.ID.Root()] = append(found[have.ID.Root()], have)
	}
	for _, done := range state.Completed {
		c.recoverCompleted(done)
	}
	for i := range state.Frameworks {
		c.recoverFramework(&state.Frameworks[i], found)
	}
	for _, have := range r.Containers {
		if have.Ended == nil && c.containers[have.ID] == nil {
			c.send(DestroyContainer{ID: have.ID})
		}
	}
	c.boundPast()
	c.pump()
	if c.drain != nil {
		c.killAll() // the process may have died between the drain and the kills
		c.pump()
	}
	c.counters = Counters{}
	c.session.held = true
	c.releaseSession()
}

// releaseSession allows contact with a master once no executor from before is still
// expected to reconnect.
func (c *Core) releaseSession() {
	if !c.session.held {
		return
	}
	for _, f := range c.frameworks {
		for _, e := range f.executors {
			if e.reconnect {
				return
			}
		}
	}
	c.session.held = false
	if c.session.phase == offline {
		c.session.phase = connecting
		c.send(Connect{})
	}
}

func (c *Core) recoverFramework(s *FrameworkState, found map[containerizer.ID]adopted) {
	f := &framework{id: frameworkID(s.Info), info: s.Info, executors: map[ExecutorID]*executorRun{}}
	f.takeOver(c.takeCompleted(f.id))
	c.frameworks[f.id] = f
	// A framework is collected with its last executor: all must be known before one goes.
	f.recovering = true
	for i := range s.Executors {
		c.recoverExecutor(f, &s.Executors[i], found[s.Executors[i].Run.Container])
	}
	f.recovering = false
	c.collectFramework(f)
}

func (c *Core) recoverExecutor(f *framework, s *ExecutorState, found adopted) {
	e := &executorRun{
		run: s.Run, kind: s.Kind, info: s.Info, framework: f, state: running, tasks: map[TaskID]*task{},
		completed: c.newest(s.Completed), recorded: len(s.Completed), cause: s.Cause, explained: s.Cause != nil,
	}
	if other := f.executors[s.Run.Key.Executor]; other != nil {
		c.note("two runs of an executor on disk; the newer one is kept", "executor", s.Run.Key.Executor)
		c.persist(RemoveExecutor{Run: s.Run})
		return
	}
	f.executors[s.Run.Key.Executor] = e
	for i := range s.Tasks {
		c.recoverTask(e, &s.Tasks[i])
	}
	if s.Ended {
		e.state = terminated
		c.endTasks(e, containerizer.Termination{})
		c.collect(e)
		return
	}
	c.adopt(e, found)
	switch e.kind {
	case Custom:
		c.recoverCustom(e, found)
	default:
		c.recoverBuiltin(e, s.Core, found)
	}
	if e.cause != nil && e.state < terminating { // its end was decided, and may not have been carried out
		e.state, e.reconnect = terminating, false
		c.destroy(e)
	}
}

func (c *Core) recoverTask(e *executorRun, s *TaskState) {
	t := &task{info: s.Info, exec: e, proto: c.newTask(e, s.Info), delivered: true}
	if e.kind != TaskGroup {
		t.container = e.run.Container
	}
	key := TaskKey{e.run.Key.Framework, taskID(s.Info)}
	var updates []*mesos.TaskStatus
	var acked [][]byte
	for _, u := range s.Updates {
		updates = append(updates, u.Status)
		if u.Acknowledged {
			acked = append(acked, u.Status.GetUuid())
		}
	}
	closed := false
	if len(updates) > 0 {
		closed = c.updates.Restore(c.now, streamOf(key), updates, acked)
	}
	for _, status := range updates {
		if n := status.GetContainerStatus().GetContainerId(); n != nil {
			t.container = containerizer.IDOf(n)
		}
		c.apply(t, status)
	}
	if n := len(updates); n > 0 && c.updates.Front(streamOf(key)) == nil {
		last := updates[n-1]
		t.proto.StatusUpdateState, t.proto.StatusUpdateUuid = last.State, last.GetUuid()
	}
	if closed {
		c.pass(e, t.proto)
		return
	}
	e.tasks[key.Task] = t
}

// adopt notes the containers of a run that were found.
func (c *Core) adopt(e *executorRun, found adopted) {
	for _, have := range found {
		id := have.ID
		c.containers[id] = &container{id: id, exec: e, pid: have.PID, live: have.Ended == nil, task: e.taskIn(id)}
		if len(have.Networks) > 0 || have.Cgroups != nil {
			c.containers[id].status = &mesos.ContainerStatus{NetworkInfos: have.Networks, CgroupInfo: have.Cgroups}
		}
	}
}

// taskIn finds the task that runs in a container; nil for the container of a pod or
// custom executor.
func (e *executorRun) taskIn(id containerizer.ID) *task {
	if e.kind == Custom || e.kind == TaskGroup && id == e.run.Container {
		return nil
	}
	for _, t := range e.tasks {
		if t.container == id {
			return t
		}
	}
	return nil
}

func (c *Core) recoverCustom(e *executorRun, found adopted) {
	have, ok := found.own(e)
	if !ok || have.Ended != nil {
		c.lostRun(e, have.Ended)
		return
	}
	e.state, e.reconnect = registering, true
	c.setDeadline(e, c.now.Add(c.config.Timers.ExecutorReregistration))
}

// lostRun ends an executor whose container ended, or was never made.
func (c *Core) lostRun(e *executorRun, how *containerizer.Termination) {
	if how == nil {
		for _, id := range sorted(e.tasks) {
			if t := e.tasks[id]; t.proto.GetState() == mesos.TaskState_TASK_STAGING {
				c.endTask(t, e.framework.lostState(mesos.TaskState_TASK_DROPPED), mesos.TaskStatus_REASON_AGENT_RESTARTED,
					"The agent was restarted before the task was started", nil)
			}
		}
		how = &containerizer.Termination{}
	}
	c.executorEnded(e, *how)
}

// recoverBuiltin resumes a built-in executor and tells it what became of its containers.
func (c *Core) recoverBuiltin(e *executorRun, state []byte, found adopted) {
	own, ok := found.own(e)
	if e.kind == TaskGroup && (!ok || own.Ended != nil) && (state == nil || e.givenUp()) {
		c.lostRun(e, own.Ended)
		return
	}
	if state == nil && e.started() {
		c.note("executor state missing", "executor", e.run.Key.Executor)
		c.abandon(e, ok && own.Ended == nil)
		return
	}
	config := c.executorConfig(e)
	core := c.config.Executors.New(e.kind, config)
	if state != nil {
		restored, err := c.config.Executors.Restore(e.kind, config, state)
		if err != nil {
			c.note("executor state unreadable", "executor", e.run.Key.Executor, "error", err)
			c.abandon(e, ok && own.Ended == nil)
			return
		}
		core = restored
	}
	e.builtin, e.onDisk = core, state
	c.feed(e, executor.FromAgent{Event: c.subscribedEvent(e)})
	subscribe := core.Subscribe().GetSubscribe()
	for _, u := range subscribe.GetUnacknowledgedUpdates() {
		c.update(e, u.GetStatus())
	}
	c.dropUnlisted(e, subscribe.GetUnacknowledgedTasks())
	in := executor.Recovered{Ended: map[executor.ContainerID]executor.Termination{}}
	for _, have := range found {
		if have.Ended != nil {
			in.Ended[executor.ContainerID(have.ID)] = executor.Termination(*have.Ended)
		} else {
			in.Live = append(in.Live, executor.ContainerID(have.ID))
		}
	}
	c.feed(e, in)
	c.feed(e, executor.Tick{})
	c.pump()
	if e.state == terminated {
		return
	}
	if e.destroying && planted.Active("agent-keep-vanished-pod") {
		return
	}
	if e.kind == TaskGroup && (!ok || own.Ended != nil) {
		c.lostRun(e, own.Ended) // even if it was about to be destroyed: nobody would report that end
		return
	}
	if !e.destroying && e.idle() { // nothing was handed out that could still end by itself
		if e.kind == Command {
			c.executorEnded(e, containerizer.Termination{})
		} else {
			e.state = terminating
			c.destroy(e)
		}
	}
}

// started says whether a task has a state that only its executor can have given it.
func (e *executorRun) started() bool {
	for _, t := range e.tasks {
		if s := t.proto.GetState(); s != mesos.TaskState_TASK_STAGING && !terminalState(s) {
			return true
		}
	}
	return false
}

// abandon ends a built-in executor that cannot be resumed.
func (c *Core) abandon(e *executorRun, live bool) {
	e.cause = &Cause{Reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, Message: "The executor's state on disk could not be read"}
	if live {
		c.send(DestroyContainer{ID: e.run.Container})
	}
	c.executorEnded(e, containerizer.Termination{})
}
