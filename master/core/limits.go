package core

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/registry"
)

// pruneLoop forgets unreachable and gone agents that are old or too many, now and then.
func (c *Core) pruneLoop() {
	c.after(c.cfg.RegistryGCInterval, func() {
		ids := append(c.prunable(c.lost), c.prunable(c.gone)...)
		if len(ids) > 0 {
			c.prune(ids)
		}
		c.pruneLoop()
	})
}

// prunable lists agents beyond the age or the count that the registry keeps, oldest first.
func (c *Core) prunable(agents map[AgentID]*lostAgent) []AgentID {
	ids := slices.SortedFunc(maps.Keys(agents), func(x, y AgentID) int {
		return cmp.Or(agents[x].at.Compare(agents[y].at), cmp.Compare(x, y))
	})
	over := max(0, len(ids)-c.cfg.RegistryMaxAgentCount)
	for over < len(ids) && c.now.Sub(agents[ids[over]].at) > c.cfg.RegistryMaxAgentAge {
		over++
	}
	return slices.DeleteFunc(ids[:over], func(id AgentID) bool { return c.moving[id] })
}

func (c *Core) prune(ids []AgentID) {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	c.persist(registry.Prune{IDs: names}, func() {
		for _, id := range ids {
			if c.dropLost(id) {
				c.flushNotice(id)
			}
			c.dropGone(id)
			c.forgetSettings(id)
		}
		c.note(noteInfo, "registry pruned", "agents", len(ids))
	})
}

// checkRecovery says whether so many agents of the registry did not return that something else
// must be wrong than they; the term ends then, before their tasks are given up.
func (c *Core) checkRecovery(missing []AgentID) bool {
	limit := 1.0
	if c.cfg.RecoveryAgentRemovalLimit != nil {
		limit = *c.cfg.RecoveryAgentRemovalLimit
	}
	if c.recoveredCount == 0 || float64(len(missing)) <= limit*float64(c.recoveredCount) {
		return true
	}
	c.stopped, c.timers = true, nil
	c.note(noteError, "post-recovery agent removal limit exceeded: investigate, or raise --recovery_agent_removal_limit",
		"missing", len(missing), "recovered", c.recoveredCount, "limit", limit, "after", c.cfg.AgentReregisterTimeout,
		"first", missing[:min(len(missing), 20)])
	c.ready.Notes[len(c.ready.Notes)-1].StepDown = true
	return false
}

// notice is what frameworks without PARTITION_AWARE are told of an unreachable agent. They take
// its tasks for lost for ever and replace them, so that a broken network could make them start
// everything anew: the removal rate limit spreads the notices. Others hear at once (MESOS-7721).
type notice struct {
	agent   AgentID
	updates []heldUpdate
}

type heldUpdate struct {
	framework FrameworkID
	status    *mesos.TaskStatus
}

// notices waits for permits of the removal rate limit.
type notices struct {
	waiting []*notice
	next    time.Time // of the next permit
	timer   *timer
}

// limited says whether what a framework is to be told of unreachable agents waits for a permit.
func (c *Core) limited(f *framework) bool { return c.cfg.AgentRemovalInterval > 0 && !f.partitionAware }

// holdNotice queues a notice, and sends it when there is a permit.
func (c *Core) holdNotice(n *notice) {
	c.pub.counters.UnreachableScheduled++
	c.notices.waiting = append(c.notices.waiting, n)
	c.sendNotices()
}

func (c *Core) sendNotices() {
	c.notices.timer.cancel()
	for len(c.notices.waiting) > 0 && !c.now.Before(c.notices.next) {
		first := c.notices.waiting[0]
		c.notices.waiting = c.notices.waiting[1:]
		c.notices.next = c.now.Add(c.cfg.AgentRemovalInterval)
		c.sendNotice(first)
	}
	if len(c.notices.waiting) > 0 {
		c.notices.timer = c.after(c.notices.next.Sub(c.now), c.sendNotices)
	}
}

// sendNotice tells what is still so: a task may have come back under another agent.
func (c *Core) sendNotice(n *notice) {
	c.pub.counters.AgentsUnreachable++
	for _, u := range n.updates {
		f := c.frameworks[u.framework]
		if f == nil {
			continue
		}
		if t := f.unreachable[TaskID(u.status.GetTaskId().GetValue())]; t != nil && t.agent == n.agent {
			c.forward(f, u.status)
		}
	}
	for rec := range c.pub.frameworks.each() { // the others heard at once
		if f := c.frameworks[rec.ID]; c.limited(f) {
			c.toFramework(f, failure(n.agent, "", nil))
		}
	}
}

// cancelNotice forgets the notice of an agent that came back in time.
func (c *Core) cancelNotice(id AgentID) {
	if c.takeNotice(id) != nil {
		c.pub.counters.UnreachableCanceled++
	}
}

// flushNotice sends the notice of an agent for which nothing is left to wait.
func (c *Core) flushNotice(id AgentID) {
	if n := c.takeNotice(id); n != nil {
		c.sendNotice(n)
	}
}

func (c *Core) takeNotice(id AgentID) *notice {
	at := slices.IndexFunc(c.notices.waiting, func(n *notice) bool { return n.agent == id })
	if at < 0 {
		return nil
	}
	n := c.notices.waiting[at]
	c.notices.waiting = slices.Delete(c.notices.waiting, at, at+1)
	return n
}
