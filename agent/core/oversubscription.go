package core

import (
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/resources"
)

// textPreempted is Mesos's (slave.cpp, _qosCorrections).
const textPreempted = "Container preempted by QoS correction"

// Oversubscribable says how much an estimator would lend beside what is lent already.
// Resources that are not revocable are left out.
type Oversubscribable struct{ Resources []*mesos.Resource }

// Preempt asks for the end of an executor that runs on revocable resources. Others are left
// alone, and so is an executor whose container is another one by now (MESOS-2875).
type Preempt struct {
	Executor  ExecutorKey
	Container containerizer.ID
	// Why is one line for the log, and for the task's message.
	Why string
}

func (Oversubscribable) event() {}
func (Preempt) event()          {}

// oversubscribable takes over an estimate. What executors hold of the earlier ones stays
// counted, so the allocator offers what is given here and no more. Mesos slave.cpp,
// _forwardOversubscribed: the master hears of it when it has changed.
func (c *Core) oversubscribable(e Oversubscribable) {
	more, err := resources.FromProto(e.Resources)
	if err != nil {
		c.note("estimate ignored", "error", err)
		return
	}
	held := resources.Resources{}
	for _, exec := range c.runs() {
		held = held.Add(exec.revocable())
	}
	total := held.Add(more.Unallocated().Revocable())
	if total.Equal(c.oversubscribed) {
		return
	}
	c.oversubscribed = total
	if c.session.phase == joined {
		c.tellOversubscribed()
	}
}

func (c *Core) tellOversubscribed() {
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_UpdateAgent{UpdateAgent: &link.UpdateAgent{
		AgentId: c.info.GetId(), Oversubscribed: c.oversubscribed.Proto(),
	}}})
}

// revocable is what an executor and its live tasks hold of resources that can be taken back.
func (e *executorRun) revocable() resources.Resources {
	held, err := resources.FromProto(e.used())
	if err != nil {
		return resources.Resources{} // the master has checked it
	}
	return held.Revocable().Unallocated()
}

// preempt ends an executor to give others what they were promised.
func (c *Core) preempt(p Preempt) {
	f := c.frameworks[p.Executor.Framework]
	if f == nil || f.executors[p.Executor.Executor] == nil {
		return
	}
	e := f.executors[p.Executor.Executor]
	switch {
	case e.run.Container != p.Container, e.state >= terminating, f.terminating, e.destroying:
		return
	case e.revocable().IsEmpty() && !planted.Active("agent-preempt-any"):
		c.note("correction ignored: the executor has no revocable resources", "executor", p.Executor.Executor, "why", p.Why)
		return
	}
	c.note("executor preempted", "framework", f.id, "executor", p.Executor.Executor, "why", p.Why)
	text := textPreempted
	if p.Why != "" {
		text += ": " + p.Why
	}
	c.counters.Preempted++
	e.cause = &Cause{Reason: mesos.TaskStatus_REASON_CONTAINER_PREEMPTED, Message: text,
		State: f.lostState(mesos.TaskState_TASK_GONE)}
	e.state = terminating
	c.destroy(e)
}

// underPreemption gives the end of a task whose executor was preempted the state and reason of
// that, unless it had ended well, or its framework had asked for its end.
func (c *Core) underPreemption(t *task, status *mesos.TaskStatus) *mesos.TaskStatus {
	why, state := t.exec.cause, status.GetState()
	if why == nil || why.State == 0 || t.killed || !terminalState(state) || state == mesos.TaskState_TASK_FINISHED {
		return status
	}
	status = proto.CloneOf(status)
	status.State, status.Reason, status.Message = &why.State, &why.Reason, &why.Message
	status.Source, status.Limitation = mesos.TaskStatus_SOURCE_AGENT.Enum(), nil
	return status
}

// Allocation is what one live executor holds.
type Allocation struct {
	Executor  ExecutorKey
	Container containerizer.ID
	Resources []*mesos.Resource
}

// Allocations lists the executors that have not ended, by framework and executor. Call it
// between steps only.
func (c *Core) Allocations() []Allocation {
	var out []Allocation
	for _, e := range c.runs() {
		if e.state == registering || e.state == running {
			out = append(out, Allocation{e.run.Key, e.run.Container, e.used()})
		}
	}
	return out
}
