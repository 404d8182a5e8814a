package core

import (
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/orchestrator/deployment"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/matcher"
	"agora.dev/agora/orchestrator/taskinfo"
	"google.golang.org/protobuf/proto"
)

// demand is what an app waits for.
type demand struct {
	count     int
	since     time.Time
	processed int
	unused    int
	lastUsed  time.Time
	refused   map[string]*marathon.UnusedOffer // by agent
	lastAt    time.Time
	declined  map[string]int // by first reason
}

// converge brings each app that something happened to nearer to what it wants.
func (c *Core) converge(now time.Time) {
	for len(c.dirty) > 0 {
		dirty := keys(c.dirty)
		clear(c.dirty)
		for _, id := range dirty {
			c.convergeApp(now, id)
		}
	}
	c.sendKills(now)
	c.endDeployments()
}

func (c *Core) convergeApp(now time.Time, id string) {
	app := c.state.Apps[id]
	all := c.instancesOf(id)
	if app == nil {
		delete(c.demand, id)
		for _, i := range all {
			if i.Condition == instance.Unreachable {
				c.removeInstance(i) // should it come back, it is unknown, and ended
				continue
			}
			c.decommission(i)
		}
		return
	}
	var counting []*instance.Instance
	for _, i := range all {
		if i.Condition == instance.Unreachable && c.expunged(now, i) {
			c.removeInstance(i)
			continue
		}
		if c.counts(now, i) {
			counting = append(counting, i)
		}
	}
	plan := deployment.Next(c.spec(app), counting)
	for _, victim := range plan.Kill {
		c.decommission(c.state.Instances[victim])
	}
	c.want(now, id, plan.Launch)
	if plan.Done {
		c.actionDone(id)
	}
}

func (c *Core) spec(app *marathon.App) deployment.Spec {
	return deployment.Spec{Instances: app.Instances, Config: app.VersionInfo.LastConfigChangeAt,
		MinimumHealth: app.UpgradeStrategy.MinimumHealthCapacity, MaximumOver: app.UpgradeStrategy.MaximumOverCapacity,
		OldestFirst: app.KillSelection == "OLDEST_FIRST", Replace: c.deploymentOf(app.ID) != nil}
}

func (c *Core) want(now time.Time, id string, count int) {
	d := c.demand[id]
	if count == 0 {
		delete(c.demand, id)
		return
	}
	if d == nil {
		d = &demand{since: now, refused: map[string]*marathon.UnusedOffer{}, declined: map[string]int{}}
		c.demand[id] = d
	}
	if count > d.count {
		c.revive = true
	}
	d.count = count
}

func (c *Core) sendKills(now time.Time) {
	if !c.connected {
		return
	}
	for _, id := range keys(c.state.Instances) {
		i := c.state.Instances[id]
		if !i.Decommissioned || now.Before(i.KillSentAt.Add(killRetry)) {
			continue
		}
		next := *i
		next.KillSentAt = now
		c.state.Instances[id] = &next
		c.kill(i.TaskID, i.AgentID)
	}
}

// steer asks for offers when something waits for them, and for none when nothing does.
func (c *Core) steer(now time.Time) {
	if !c.connected {
		return
	}
	waiting := false
	for id := range c.demand {
		waiting = waiting || c.delayed(now, id).IsZero()
	}
	switch {
	case !waiting && len(c.demand) == 0 && !c.suppressed:
		c.suppressed, c.revive = true, false
		c.send(&scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum(), Suppress: &scheduler.Call_Suppress{Roles: []string{c.cfg.Role}}})
	case waiting && (c.suppressed || c.revive) && !now.Before(c.revivedAt.Add(reviveEvery)):
		c.suppressed, c.revive, c.revivedAt = false, false, now
		c.send(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum(), Revive: &scheduler.Call_Revive{Roles: []string{c.cfg.Role}}})
	}
}

func (c *Core) delayed(now time.Time, id string) time.Time {
	return c.queue.Until(now, id, c.state.Apps[id].VersionInfo.LastConfigChangeAt)
}

// offers launches what waits, and declines what is of no use.
func (c *Core) offers(now time.Time, offers []*mesos.Offer) {
	for _, each := range offers {
		offer := matcher.NewOffer(each)
		var tasks []*mesos.TaskInfo
		delayed := false
		for _, id := range keys(c.demand) {
			if !c.delayed(now, id).IsZero() {
				delayed, c.revive = true, true
				continue
			}
			tasks = append(tasks, c.launch(now, id, offer, c.cfg.PerOffer-len(tasks))...)
		}
		if len(tasks) > 0 {
			c.accept(each, tasks)
			continue
		}
		refuse := c.cfg.Decline
		if delayed {
			refuse = time.Second
		}
		c.send(&scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{
			OfferIds: []*mesos.OfferID{each.GetId()}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(refuse.Seconds())}}})
	}
}

func (c *Core) accept(offer *mesos.Offer, tasks []*mesos.TaskInfo) {
	c.send(&scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.GetId()},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}},
		Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}})
}

// launch makes at most limit instances of an app on the offer.
func (c *Core) launch(now time.Time, id string, offer *matcher.Offer, limit int) []*mesos.TaskInfo {
	app, d := c.state.Apps[id], c.demand[id]
	var tasks []*mesos.TaskInfo
	for d.count > 0 && len(tasks) < limit {
		match, refusals := matcher.Take(app, c.cfg.Role, offer, c.placed(now, id), c.portHint)
		d.processed++
		if len(refusals) > 0 {
			c.refused(now, d, offer, refusals)
			break
		}
		i := &instance.Instance{ID: instance.NewID(id, c.cfg.NewID()), AppID: id, AgentID: offer.AgentID, Host: offer.Host,
			Version: app.Version, ConfigVersion: app.VersionInfo.LastConfigChangeAt, Role: c.cfg.Role, Ports: match.Ports,
			HealthChecked: len(app.HealthChecks) > 0, Fields: offer.Fields, Condition: instance.Provisioned, CreatedAt: now, StagedAt: now}
		i.TaskID = instance.TaskID(i.ID)
		if n := len(match.Ports); n > 0 && !app.RequirePorts {
			c.portHint = match.Ports[n-1]%65535 + 1
		}
		c.putInstance(i)
		tasks = append(tasks, taskinfo.Build(app, i, match.Resources, c.cfg.BridgeName))
		d.count--
		d.lastUsed = now
	}
	return tasks
}

func (c *Core) refused(now time.Time, d *demand, offer *matcher.Offer, refusals []matcher.Refusal) {
	unused := &marathon.UnusedOffer{Offer: marathon.OfferSummary{ID: offer.ID, Hostname: offer.Host, AgentID: offer.AgentID},
		Timestamp: stamp(now)}
	for _, r := range refusals {
		unused.Reason = append(unused.Reason, r.Reason)
		unused.Details = append(unused.Details, r.Detail)
	}
	d.unused++
	d.lastAt = now
	d.declined[refusals[0].Reason]++
	d.refused[offer.AgentID] = unused
}

func (c *Core) placed(now time.Time, app string) []matcher.Placed {
	var placed []matcher.Placed
	for _, i := range c.instancesOf(app) {
		if c.counts(now, i) {
			placed = append(placed, matcher.Placed{Fields: i.Fields})
		}
	}
	return placed
}

// wake is the earliest time at which something is due.
func (c *Core) wake(now time.Time) time.Time {
	earliest := time.Time{}
	consider := func(at time.Time) {
		if at.IsZero() {
			return
		}
		if !at.After(now) {
			at = now.Add(time.Millisecond)
		}
		if earliest.IsZero() || at.Before(earliest) {
			earliest = at
		}
	}
	for _, i := range c.state.Instances {
		if at := c.deadline(i); c.connected || !i.Decommissioned {
			consider(at)
		}
	}
	if c.connected {
		consider(c.reconciliation.at)
	}
	for id := range c.demand {
		if until := c.delayed(now, id); !until.IsZero() {
			consider(until)
		} else if c.connected && (c.revive || c.suppressed) {
			consider(c.revivedAt.Add(reviveEvery))
		}
	}
	return earliest
}
