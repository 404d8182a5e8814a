package core

import (
	"slices"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/validation"
)

// framework is one framework that is not completed. rec is what snapshots publish copies of.
type framework struct {
	id   FrameworkID
	rec  Framework
	slot int
	// dirty: rec or what it contains changed since the last snapshot.
	dirty bool

	conn           ConnID
	heartbeat      *timer
	failover       *timer
	partitionAware bool

	tasks           map[TaskID]*task
	taskTable       table[Task]
	unreachable     map[TaskID]*unreachableTask
	unreachableFIFO []TaskID
	unreachableTask table[Task]
	completed       ring[Task]
	executors       table[Executor]
	offers          bag[offer]
	operations      map[string]*operation // by the framework's operation id
}

func (c *Core) addFramework(id FrameworkID, info *mesos.FrameworkInfo) *framework {
	f := &framework{
		id:          id,
		rec:         Framework{ID: id, FirstName: info.GetName(), RegisteredAt: c.now},
		tasks:       map[TaskID]*task{},
		unreachable: map[TaskID]*unreachableTask{},
		offers:      bag[offer]{at: func(o *offer) *int { return &o.frameworkIndex }},
		operations:  map[string]*operation{},
	}
	f.completed.bound = c.cfg.MaxCompletedTasksPerFramework
	f.setInfo(info)
	c.frameworks[id] = f
	f.slot = c.pub.frameworks.insert(f.publish())
	c.touchFramework(f)
	c.claimOperations(f)
	return f
}

func (f *framework) setInfo(info *mesos.FrameworkInfo) {
	f.rec.Info = info
	f.partitionAware = validation.HasCapability(info, mesos.FrameworkInfo_Capability_PARTITION_AWARE)
}

func (f *framework) roles() []string { return validation.Roles(f.rec.Info) }

func (f *framework) hasRole(role string) bool { return slices.Contains(f.roles(), role) }

// lostState is the state that takes the place of LOST for a partition-aware framework.
func (f *framework) lostState(aware mesos.TaskState) mesos.TaskState {
	if f.partitionAware {
		return aware
	}
	return mesos.TaskState_TASK_LOST
}

// connect gives the framework its stream and greets it.
func (c *Core) connect(f *framework, conn ConnID) {
	f.failover.cancel()
	f.conn = conn
	c.conns[conn] = f
	f.rec.Connected, f.rec.Active, f.rec.Recovered = true, true, false
	c.touchFramework(f)
	c.toFramework(f, &scheduler.Event{Type: scheduler.Event_SUBSCRIBED.Enum(), Subscribed: &scheduler.Event_Subscribed{
		FrameworkId:              frameworkID(f.id),
		HeartbeatIntervalSeconds: ptr(c.cfg.HeartbeatInterval.Seconds()),
		MasterInfo:               c.cfg.Master,
	}})
	c.beat(f)
	c.askInverseOf()
}

// beat sends a heartbeat now and at every interval while the stream lasts.
func (c *Core) beat(f *framework) {
	f.heartbeat.cancel()
	c.toFramework(f, &scheduler.Event{Type: scheduler.Event_HEARTBEAT.Enum()})
	f.heartbeat = c.after(c.cfg.HeartbeatInterval, func() { c.beat(f) })
}

// disconnect forgets the framework's stream; its offers go back without a word.
func (c *Core) disconnect(f *framework) {
	delete(c.conns, f.conn)
	f.conn = 0
	f.heartbeat.cancel()
	c.voidInverse(f, false)
	for len(f.offers.items) > 0 {
		c.returnOffer(f.offers.items[0])
	}
}

// connClosed handles the loss of a stream: the framework has failover_timeout to come back.
func (c *Core) connClosed(conn ConnID) {
	f := c.conns[conn]
	if f == nil {
		return
	}
	f.rec.Connected, f.rec.Active = false, false
	c.touchFramework(f)
	c.allocatorDeactivateFramework(f)
	c.disconnect(f)
	timeout := time.Duration(max(0, f.rec.Info.GetFailoverTimeout()) * float64(time.Second))
	c.note(noteInfo, "framework disconnected", "framework", f.id, "failover_timeout", timeout)
	if timeout == 0 {
		c.removeFramework(f)
		return
	}
	f.failover = c.after(timeout, func() {
		c.note(noteInfo, "failover timeout of framework passed", "framework", f.id)
		c.removeFramework(f)
	})
}

// removeFramework ends a framework for ever: its executors are told to stop, its tasks
// end in the master's books.
func (c *Core) removeFramework(f *framework) {
	if f.conn != 0 {
		conn := f.conn
		c.disconnect(f)
		c.send(CloseConn{Conn: conn})
	}
	f.failover.cancel()
	c.voidInverse(f, true)
	c.shutDownOnAgents(f)
	for _, t := range f.tasksInOrder() {
		status := c.masterStatus(t, mesos.TaskState_TASK_KILLED, mesos.TaskStatus_REASON_FRAMEWORK_REMOVED,
			"Framework "+string(f.id)+" removed")
		status.ExecutorId = nil // as in Mesos
		switch {
		case !Terminal(t.rec.State):
			c.endTask(t, status)
		case t.rec.State == mesos.TaskState_TASK_KILLED:
			// Mesos gives this reason also to one whose end nobody has acknowledged yet.
			rec := *t.rec
			rec.Statuses = appendStatus(rec.Statuses, status)
			c.replaceTask(t, &rec)
		}
		c.removeTask(t)
	}
	for _, e := range c.executorsOf(f) {
		c.removeExecutor(e)
	}
	c.dropOperations(f)
	c.allocatorRemoveFramework(f)
	c.completeFramework(f)
	c.note(noteInfo, "framework removed", "framework", f.id)
}

// shutDownOnAgents tells every agent that may have something of f, now or when it returns.
func (c *Core) shutDownOnAgents(f *framework) {
	involved := map[AgentID]*agent{}
	for _, t := range f.tasks {
		involved[t.agent.id] = t.agent
	}
	for _, e := range c.executorsOf(f) {
		involved[e.agent.id] = e.agent
	}
	for _, id := range sortedKeys(involved) {
		a := involved[id]
		if !c.toAgent(a, shutdownFramework(f.id)) {
			a.shutdowns = append(a.shutdowns, f.id)
		}
	}
}

func shutdownFramework(id FrameworkID) *link.FromMaster {
	return &link.FromMaster{Message: &link.FromMaster_ShutdownFramework{
		ShutdownFramework: &link.ShutdownFramework{FrameworkId: frameworkID(id)}}}
}

func (c *Core) completeFramework(f *framework) {
	delete(c.frameworks, f.id)
	f.rec.Connected, f.rec.Active, f.rec.Recovered = false, false, false
	f.rec.UnregisteredAt = c.now
	rec := f.publish()
	c.pub.frameworks.remove(f.slot)
	c.removed[f.id] = true
	if dropped := c.pub.completed.add(rec); dropped != nil {
		delete(c.removed, dropped.ID)
	}
	c.send(OperatorEvent{Type: FrameworkRemoved, Framework: rec})
}

// tasksInOrder gives the tasks in the order of their slots.
func (f *framework) tasksInOrder() []*task {
	tasks := make([]*task, 0, len(f.tasks))
	for rec := range f.taskTable.each() {
		tasks = append(tasks, f.tasks[TaskID(rec.Base.GetTaskId().GetValue())])
	}
	return tasks
}
