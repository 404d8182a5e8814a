package core

import (
	"time"

	"google.golang.org/protobuf/proto"

	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// setDrain follows what the master says of a drain; nil ends it. A drain outlives its last
// task: a launch that is on its way when nothing is left is refused, too. It ends only when
// the operator reactivates the agent.
func (c *Core) setDrain(config *mesos.DrainConfig) {
	switch {
	case config == nil && c.drain == nil:
		return
	case config == nil:
		c.drain, c.drainSince = nil, time.Time{}
		c.persist(WriteDrain{})
		c.note("drain ended")
		return
	case c.drain == nil:
		c.drainSince = c.now
	}
	if !proto.Equal(c.drain, config) {
		c.drain = config
		c.persist(WriteDrain{Config: config})
		c.note("draining", "mark_gone", config.GetMarkGone())
	}
	c.session.toldDrained = false
	c.killAll()
}

// tellDrained tells the master that nothing is left. The master cannot know: the tasks of
// a framework that was torn down are off its books while they still die here.
func (c *Core) tellDrained() {
	if c.drain == nil || c.session.phase != joined || c.session.toldDrained || len(c.runs()) > 0 {
		return
	}
	c.session.toldDrained = true
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_Drained{Drained: &link.Drained{AgentId: c.info.GetId()}}})
}

// killAll kills every task, each as gently as it and the drain allow.
func (c *Core) killAll() {
	for _, e := range c.runs() {
		for _, id := range sorted(e.tasks) {
			t := e.tasks[id]
			c.kill(t, c.drainPolicy(t))
		}
	}
}

// defaultKillGrace is that of the executors, for tasks without a policy.
const defaultKillGrace = 3 * time.Second

// drainPolicy is the task's own grace period, bounded by that of the drain.
func (c *Core) drainPolicy(t *task) *mesos.KillPolicy {
	limit := c.drain.GetMaxGracePeriod()
	own := int64(defaultKillGrace)
	if said := t.info.GetKillPolicy().GetGracePeriod(); said != nil {
		own = said.GetNanoseconds()
	}
	if limit == nil || own <= limit.GetNanoseconds() {
		return nil
	}
	return &mesos.KillPolicy{GracePeriod: limit}
}

// underDrain gives a kill the reason that operators and frameworks look for. With mark_gone
// the agent will not return, so for a framework that can tell the difference its tasks are gone.
func (c *Core) underDrain(t *task, status *mesos.TaskStatus) *mesos.TaskStatus {
	state := status.GetState()
	if c.drain == nil || state != mesos.TaskState_TASK_KILLING && state != mesos.TaskState_TASK_KILLED {
		return status
	}
	status = proto.CloneOf(status)
	status.Reason = mesos.TaskStatus_REASON_AGENT_DRAINING.Enum()
	if c.drain.GetMarkGone() && state == mesos.TaskState_TASK_KILLED &&
		t.exec.framework.has(mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		status.State = mesos.TaskState_TASK_GONE_BY_OPERATOR.Enum()
	}
	return status
}

// endIdleExecutors shuts down custom executors that nothing is left for; the built-in ones end
// by themselves.
func (c *Core) endIdleExecutors() {
	for _, e := range c.runs() {
		if e.kind == Custom && e.state == running && e.idle() && len(e.queued) == 0 {
			c.shutdownExecutor(e, nil)
		}
	}
}
