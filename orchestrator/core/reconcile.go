package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"google.golang.org/protobuf/proto"
)

// A master that has just been elected says nothing of tasks on agents that it still waits
// for. So those that were not answered are asked for again, ever later.
const firstAskAgain = 5 * time.Second

// reconciliation is what is known of the answers to RECONCILE.
type reconciliation struct {
	at     time.Time // of the next question
	full   time.Time // of the next question for every task
	silent map[string]bool
	pause  time.Duration
}

// reconcileAll asks for each task that is written down.
func (c *Core) reconcileAll(now time.Time) {
	r := &c.reconciliation
	r.full, r.pause, r.silent = now.Add(c.cfg.ReconcileEvery), firstAskAgain, map[string]bool{}
	for id := range c.state.Instances {
		r.silent[id] = true
	}
	c.reconcileSilent(now)
}

// reconcileSilent asks for the tasks that nothing was heard of since they were asked for.
func (c *Core) reconcileSilent(now time.Time) {
	r := &c.reconciliation
	ask := &scheduler.Call_Reconcile{}
	for _, id := range keys(r.silent) {
		i := c.state.Instances[id]
		if i == nil {
			delete(r.silent, id)
			continue
		}
		ask.Tasks = append(ask.Tasks, &scheduler.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: proto.String(i.TaskID)},
			AgentId: &mesos.AgentID{Value: proto.String(i.AgentID)}})
	}
	r.at = r.full
	if len(ask.Tasks) == 0 {
		return
	}
	c.send(&scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: ask})
	if again := now.Add(r.pause); again.Before(r.full) {
		r.at = again
	}
	r.pause *= 2
}

// reconcileDue asks when it is time to.
func (c *Core) reconcileDue(now time.Time) {
	switch r := &c.reconciliation; {
	case !c.connected || now.Before(r.at):
	case now.Before(r.full):
		c.reconcileSilent(now)
	default:
		c.reconcileAll(now)
	}
}

// reconcileSoon asks for every task after a moment.
func (c *Core) reconcileSoon(now time.Time, after time.Duration) {
	r := &c.reconciliation
	if soon := now.Add(after); r.full.After(soon) {
		r.at, r.full = soon, soon
	}
}

// agentLost asks for the tasks of an agent that the master has given up.
func (c *Core) agentLost(now time.Time, agent string) {
	r := &c.reconciliation
	for id, i := range c.state.Instances {
		if i.AgentID == agent {
			r.silent[id] = true
			r.at = now
		}
	}
	r.pause = firstAskAgain
	c.reconcileDue(now)
}
