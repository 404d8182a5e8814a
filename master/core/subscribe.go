package core

import (
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/validation"
)

// Texts of ERROR events.
const (
	frameworkFailedOver = "Framework failed over"
	frameworkRemoved    = "Framework has been removed"
)

// subscribe handles SUBSCRIBE: a new framework, one that returns, or one that takes its
// own stream over. Refusals are ERROR events on the stream.
func (c *Core) subscribe(e FrameworkSubscribed) {
	c.pub.counters.Calls[scheduler.Call_SUBSCRIBE]++
	info := e.Call.GetFrameworkInfo()
	if info == nil {
		c.refuseConn(e.Conn, "Expecting 'framework_info' to be present")
		return
	}
	if e.Principal != "" && info.Principal == nil {
		info.Principal = &e.Principal
	}
	id := FrameworkID(info.GetId().GetValue())
	f := c.frameworks[id]
	if problem := c.checkSubscribe(e.Call, f); problem != "" {
		c.refuseConn(e.Conn, problem)
		return
	}
	switch {
	case id == "":
		id = c.newFrameworkID()
		info.Id = frameworkID(id)
		c.newFramework(id, e)
	case c.removed[id]:
		c.refuseConn(e.Conn, frameworkRemoved)
	case f == nil:
		c.newFramework(id, e)
	default:
		c.resubscribe(f, e)
	}
}

func (c *Core) checkSubscribe(call *scheduler.Call_Subscribe, known *framework) string {
	info := call.GetFrameworkInfo()
	checks := []func() error{
		func() error { return validation.Framework(info) },
		func() error { return validation.FrameworkWhitelist(info, c.cfg.Roles, c.cfg.RefuseRootSubmissions) },
		func() error { return validation.SuppressedRoles(info, call.GetSuppressedRoles()) },
		func() error { return validation.OfferConstraints(info, call.GetOfferConstraints()) },
		func() error {
			if known == nil {
				return nil
			}
			return validation.PrincipalChange(known.rec.Info, info)
		},
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err.Error()
		}
	}
	return c.authorizeRoles(info)
}

func (c *Core) refuseConn(conn ConnID, problem string) {
	c.sendError(conn, problem)
	c.send(CloseConn{Conn: conn})
	c.note(noteInfo, "subscription refused", "reason", problem)
}

func (c *Core) sendError(conn ConnID, message string) {
	c.send(ToScheduler{Conn: conn, Event: &scheduler.Event{Type: scheduler.Event_ERROR.Enum(),
		Error: &scheduler.Event_Error{Message: &message}}})
}

func (c *Core) newFramework(id FrameworkID, e FrameworkSubscribed) {
	f := c.addFramework(id, e.Call.GetFrameworkInfo())
	f.prefer(e.Call.GetSuppressedRoles(), e.Call.GetOfferConstraints())
	f.rec.Counters.Calls[scheduler.Call_SUBSCRIBE]++
	c.connect(f, e.Conn)
	c.allocatorAddFramework(f)
	c.send(OperatorEvent{Type: FrameworkAdded, Framework: f.publish()})
	c.note(noteInfo, "framework subscribed", "framework", id, "name", f.rec.Info.GetName())
}

// prefer takes over what the framework wants to be offered.
func (f *framework) prefer(suppressed []string, constraints *scheduler.OfferConstraints) {
	f.rec.SuppressedRoles = sortedSet(suppressed)
	f.rec.OfferConstraints = constraints
}

// resubscribe gives a known framework its new stream. The newest stream always wins; offers of
// the old one are void without a word.
func (c *Core) resubscribe(f *framework, e FrameworkSubscribed) {
	f.rec.Counters.Calls[scheduler.Call_SUBSCRIBE]++
	c.pub.counters.Resubscriptions++
	if old := f.conn; old != 0 {
		c.sendError(old, frameworkFailedOver)
		c.send(CloseConn{Conn: old})
		c.disconnect(f)
	}
	info := e.Call.GetFrameworkInfo()
	// Mesos ignores a change of these two here, and refuses it in UPDATE_FRAMEWORK.
	info.User, info.Checkpoint = f.rec.Info.User, f.rec.Info.Checkpoint
	f.setInfo(info)
	f.prefer(e.Call.GetSuppressedRoles(), e.Call.GetOfferConstraints())
	f.rec.ReregisteredAt = c.now
	c.connect(f, e.Conn)
	c.allocatorUpdateFramework(f)
	c.allocatorActivateFramework(f)
	c.tellAgents(f)
	c.send(OperatorEvent{Type: FrameworkUpdated, Framework: f.publish()})
	c.note(noteInfo, "framework resubscribed", "framework", f.id)
}

// tellAgents sends the framework's info to the agents that run something of it.
func (c *Core) tellAgents(f *framework) {
	involved := map[AgentID]*agent{}
	for _, t := range f.tasks {
		involved[t.agent.id] = t.agent
	}
	for _, e := range c.executorsOf(f) {
		involved[e.agent.id] = e.agent
	}
	for _, id := range sortedKeys(involved) {
		c.toAgent(involved[id], updateFramework(f))
	}
}

// updateFrameworkCall handles UPDATE_FRAMEWORK.
func (c *Core) updateFrameworkCall(f *framework, call *scheduler.Call_UpdateFramework) (status int, text string) {
	info := call.GetFrameworkInfo()
	if err := validation.Framework(info); err != nil {
		return 400, "Supplied FrameworkInfo is not valid: " + err.Error()
	}
	if err := validation.FrameworkWhitelist(info, c.cfg.Roles, c.cfg.RefuseRootSubmissions); err != nil {
		return 400, "Supplied FrameworkInfo is not valid: " + err.Error()
	}
	if err := validation.FrameworkUpdate(f.rec.Info, info); err != nil {
		return 400, "FrameworkInfo update is not valid: " + err.Error()
	}
	if err := validation.SuppressedRoles(info, call.GetSuppressedRoles()); err != nil {
		return 400, "'UpdateFramework' call is not valid: " + err.Error()
	}
	if err := validation.OfferConstraints(info, call.GetOfferConstraints()); err != nil {
		return 400, "'UpdateFramework' call is not valid: " + err.Error()
	}
	if problem := c.authorizeRoles(info); problem != "" {
		return 403, problem
	}
	f.setInfo(info)
	f.prefer(call.GetSuppressedRoles(), call.GetOfferConstraints())
	c.touchFramework(f)
	var stale []*offer
	for _, o := range f.offers.items {
		if !f.hasRole(o.role) {
			stale = append(stale, o)
		}
	}
	for _, o := range stale {
		c.rescind(o)
	}
	c.allocatorUpdateFramework(f)
	c.tellAgents(f)
	c.send(OperatorEvent{Type: FrameworkUpdated, Framework: f.publish()})
	return 200, ""
}

// suppress and revive drop the whole call when one role is not the framework's.

func (c *Core) suppress(f *framework, roles []string) {
	if !f.ownsAll(roles) {
		c.note(noteWarn, "suppress of foreign roles dropped", "framework", f.id)
		return
	}
	if len(roles) == 0 {
		roles = f.roles()
	}
	f.rec.SuppressedRoles = sortedSet(append(f.rec.SuppressedRoles[:len(f.rec.SuppressedRoles):len(f.rec.SuppressedRoles)], roles...))
	c.touchFramework(f)
	c.allocatorSuppress(f, roles)
}

func (c *Core) revive(f *framework, roles []string) {
	if !f.ownsAll(roles) {
		c.note(noteWarn, "revive of foreign roles dropped", "framework", f.id)
		return
	}
	if len(roles) == 0 {
		roles = f.roles()
	}
	f.rec.SuppressedRoles = without(f.rec.SuppressedRoles, roles)
	c.touchFramework(f)
	c.allocatorRevive(f, roles)
	c.reviveInverse(f)
}

func (f *framework) ownsAll(roles []string) bool {
	for _, role := range roles {
		if validation.Role(role) != nil || !f.hasRole(role) {
			return false
		}
	}
	return true
}

// inject fills in the role that resources are allocated to, where a framework left it out, and
// turns the reservation format of old frameworks into that of the rest of the master.
func inject(resources []*mesos.Resource, role string) {
	for _, r := range resources {
		if r.Role != nil || r.Reservation != nil {
			r.Reservations = upgraded(r).Reservations
			r.Role, r.Reservation = nil, nil
		}
		if r.AllocationInfo == nil {
			r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr(role)}
		}
	}
}
