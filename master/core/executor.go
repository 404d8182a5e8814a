package core

import (
	"cmp"
	"slices"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/secrets"
)

// executor is one executor on a registered agent.
type executor struct {
	id        ExecutorID
	framework *framework
	agent     *agent
	info      *mesos.ExecutorInfo
	resources amounts
	slot      int
}

func (c *Core) addExecutor(f *framework, a *agent, info *mesos.ExecutorInfo) *executor {
	info = secrets.WithoutExecutor(info)
	e := &executor{
		id:        ExecutorID(info.GetExecutorId().GetValue()),
		framework: f,
		agent:     a,
		info:      info,
		resources: amountsOf(info.GetResources()),
	}
	e.slot = f.executors.insert(&Executor{Agent: a.id, Info: info})
	a.executors[executorKey{f.id, e.id}] = e
	a.used = a.used.plus(e.resources)
	c.touchFramework(f)
	c.touchAgent(a)
	c.askInverseOn(f, a)
	c.countExecutors(a)
	return e
}

// countExecutors lets an agent be looked at whose number of executors changed, where that is bounded.
func (c *Core) countExecutors(a *agent) {
	if c.cfg.MaxExecutorsPerAgent > 0 {
		c.reviewLater(a)
	}
}

func (c *Core) removeExecutor(e *executor) {
	delete(e.agent.executors, executorKey{e.framework.id, e.id})
	e.framework.executors.remove(e.slot)
	e.agent.used = e.agent.used.minus(e.resources)
	c.allocatorRecover(e.framework.id, e.agent.id, e.resources, nil)
	c.touchFramework(e.framework)
	c.touchAgent(e.agent)
	c.countExecutors(e.agent)
}

// executorsOf lists a framework's executors in the order of their slots.
func (c *Core) executorsOf(f *framework) []*executor {
	var list []*executor
	for rec := range f.executors.each() {
		key := executorKey{f.id, ExecutorID(rec.Info.GetExecutorId().GetValue())}
		list = append(list, c.agents[rec.Agent].executors[key])
	}
	return list
}

// executorsInOrder lists an agent's executors by framework and id.
func (a *agent) executorsInOrder() []*executor {
	list := make([]*executor, 0, len(a.executors))
	for _, e := range a.executors {
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y *executor) int {
		return cmp.Or(cmp.Compare(x.framework.id, y.framework.id), cmp.Compare(x.id, y.id))
	})
	return list
}

// exitedExecutor frees what an executor held and tells its framework. Executors of
// command tasks are not on the books.
func (c *Core) exitedExecutor(a *agent, m *link.ExitedExecutor) {
	c.pub.counters.ExitedExecutors++
	key := executorKey{FrameworkID(m.GetFrameworkId().GetValue()), ExecutorID(m.GetExecutorId().GetValue())}
	e := a.executors[key]
	if e == nil {
		return
	}
	c.removeExecutor(e)
	c.toFramework(e.framework, failure(a.id, e.id, m.Status))
}

// executorMessage hands an executor's message to its framework, best effort.
func (c *Core) executorMessage(a *agent, m *link.ExecutorMessage) {
	f := c.frameworks[FrameworkID(m.GetFrameworkId().GetValue())]
	sent := c.toFramework(f, &scheduler.Event{Type: scheduler.Event_MESSAGE.Enum(), Message: &scheduler.Event_Message{
		AgentId: agentID(a.id), ExecutorId: m.GetExecutorId(), Data: m.GetData()}})
	if sent {
		c.pub.counters.ValidMessagesToFramework++
	} else {
		c.pub.counters.InvalidMessagesToFramework++
	}
}

// messageToExecutor hands a framework's message to its executor, best effort.
func (c *Core) messageToExecutor(f *framework, call *scheduler.Call_Message) {
	a := c.agents[AgentID(call.GetAgentId().GetValue())]
	sent := c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_FrameworkMessage{
		FrameworkMessage: &link.FrameworkMessage{
			FrameworkId: frameworkID(f.id), ExecutorId: call.GetExecutorId(), Data: call.GetData()}}})
	if sent {
		c.pub.counters.ValidMessagesToExecutor++
	} else {
		c.pub.counters.InvalidMessagesToExecutor++
	}
}

func (c *Core) shutdownExecutor(f *framework, call *scheduler.Call_Shutdown) {
	c.toAgent(c.agents[AgentID(call.GetAgentId().GetValue())], &link.FromMaster{Message: &link.FromMaster_ShutdownExecutor{
		ShutdownExecutor: &link.ShutdownExecutor{FrameworkId: frameworkID(f.id), ExecutorId: call.GetExecutorId()}}})
}
