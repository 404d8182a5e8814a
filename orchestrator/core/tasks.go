package core

import (
	"strings"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/orchestrator/group"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/launchqueue"
	"google.golang.org/protobuf/proto"
)

func (c *Core) subscribed(now time.Time, id string) {
	c.connected, c.suppressed, c.revive = true, false, false
	if c.state.FrameworkID != id {
		c.state.FrameworkID = id
		c.persist(KindFramework, "id", id)
	}
	for _, id := range keys(c.state.Instances) {
		i := *c.state.Instances[id]
		i.KillSentAt = time.Time{}
		c.state.Instances[id] = &i
		c.dirty[i.AppID] = true
	}
	// Tasks that we do not know of come in answer to the implicit one.
	c.send(&scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: &scheduler.Call_Reconcile{}})
	c.reconcileAll(now)
}

// instanceOf is the inverse of instance.TaskID.
func instanceOf(taskID string) string {
	if n := strings.LastIndex(taskID, "._app."); n >= 0 {
		return taskID[:n]
	}
	return taskID
}

func (c *Core) update(now time.Time, status *mesos.TaskStatus) {
	defer c.acknowledge(status)
	i := c.state.Instances[instanceOf(status.GetTaskId().GetValue())]
	if i == nil || i.TaskID != status.GetTaskId().GetValue() {
		c.unknown(status)
		return
	}
	delete(c.reconciliation.silent, i.ID)
	next, end := i.Update(now, status)
	if end == nil {
		if next.Condition != i.Condition || next.Health != i.Health {
			c.putInstance(&next)
		}
		return
	}
	c.removeInstance(i)
	c.note("instance ended", "instance", i.ID, "state", end.State, "message", end.Message)
	if i.Decommissioned {
		return
	}
	c.failures[i.AppID] = &marathon.TaskFailure{AppID: i.AppID, Host: i.Host, Message: end.Message, SlaveID: i.AgentID,
		State: end.State, TaskID: i.TaskID, Timestamp: now.UTC().Format(group.TimeFormat), Version: i.Version}
	if app := c.state.Apps[i.AppID]; app != nil && end.Delays {
		c.queue.Ended(now, i.AppID, i.ConfigVersion, policy(app))
	}
}

func policy(app *marathon.App) launchqueue.Policy {
	return launchqueue.Policy{Initial: seconds(app.BackoffSeconds), Factor: app.BackoffFactor, Max: seconds(app.MaxLaunchDelaySeconds)}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// unknown ends a task of ours that is not written down: nobody would ever end it otherwise.
func (c *Core) unknown(status *mesos.TaskStatus) {
	switch status.GetState() {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING:
		c.note("unknown task killed", "task", status.GetTaskId().GetValue())
		c.kill(status.GetTaskId().GetValue(), status.GetAgentId().GetValue())
	}
}

func (c *Core) kill(taskID, agentID string) {
	kill := &scheduler.Call_Kill{TaskId: &mesos.TaskID{Value: proto.String(taskID)}}
	if agentID != "" {
		kill.AgentId = &mesos.AgentID{Value: proto.String(agentID)}
	}
	c.send(&scheduler.Call{Type: scheduler.Call_KILL.Enum(), Kill: kill})
}

func (c *Core) acknowledge(status *mesos.TaskStatus) {
	if len(status.GetUuid()) == 0 {
		return
	}
	c.send(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
		AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}})
}

// expire handles what time alone changes: kills without effect, launches that come to
// nothing, instances unreachable for too long.
func (c *Core) expire(now time.Time) {
	for _, id := range keys(c.state.Instances) {
		i := c.state.Instances[id]
		if due := c.deadline(i); !due.IsZero() && !now.Before(due) {
			c.dirty[i.AppID] = true
			switch {
			case i.Decommissioned || i.Condition == instance.Killing:
			case i.Condition == instance.Unreachable:
				if c.expunged(now, i) {
					c.removeInstance(i)
				}
			default:
				c.note("instance did not start in time", "instance", i.ID)
				c.decommission(i)
			}
		}
	}
	for app := range c.demand {
		c.dirty[app] = true
	}
}

// deadline is when the instance next needs attention; zero: never.
func (c *Core) deadline(i *instance.Instance) time.Time {
	switch {
	case i.Decommissioned:
		return i.KillSentAt.Add(killRetry)
	case i.Condition == instance.Provisioned || i.Condition == instance.Staging || i.Condition == instance.Starting:
		return i.CreatedAt.Add(c.cfg.LaunchTimeout)
	case i.Condition == instance.Unreachable:
		inactive, expunge, never := c.unreachable(i)
		switch {
		case never:
			return time.Time{}
		case inactive.After(i.UnreachableSince) && inactive.Before(expunge):
			return inactive
		}
		return expunge
	}
	return time.Time{}
}

func (c *Core) unreachable(i *instance.Instance) (inactive, expunge time.Time, never bool) {
	strategy := marathon.UnreachableStrategy{}
	if app := c.state.Apps[i.AppID]; app != nil {
		strategy = app.UnreachableStrategy
	}
	return i.UnreachableSince.Add(seconds(strategy.InactiveAfterSeconds)),
		i.UnreachableSince.Add(seconds(strategy.ExpungeAfterSeconds)), strategy.Disabled
}

func (c *Core) expunged(now time.Time, i *instance.Instance) bool {
	_, expunge, never := c.unreachable(i)
	return !never && !now.Before(expunge)
}

// counts reports that the instance still is one of the app's: one unreachable for too long
// is not.
func (c *Core) counts(now time.Time, i *instance.Instance) bool {
	if i.Condition != instance.Unreachable || i.Decommissioned {
		return true
	}
	inactive, _, never := c.unreachable(i)
	return never || now.Before(inactive)
}

func (c *Core) decommission(i *instance.Instance) {
	if i.Decommissioned {
		return
	}
	next := *i
	next.Decommissioned = true
	c.putInstance(&next)
}
