package allocator

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// agent is a row: what there is, what is free, and who has the rest.
type agent struct {
	id core.AgentID
	// generation tells apart the additions of one agent; offers repeat it.
	generation uint64
	slot       int
	// openSlot is its place among those that have something free.
	isOpen    bool
	openSlot  int
	active    bool
	left      bool // it was removed
	touched   bool // in the list of those to be looked at
	gpus      bool
	oneRole   bool // it lacks the capability MULTI_ROLE
	flatRoles bool // it lacks the capability HIERARCHICAL_ROLE
	info      *mesos.AgentInfo
	// reserved: some of it is reserved or revocable, so that even roles at their limit may want it.
	special bool
	// version counts changes of what is free. At idleVersion and idleEpoch nobody wanted it.
	version     uint64
	idleVersion uint64
	idleEpoch   uint64
	total       []portion
	free        []portion
	held        []holding
	filters     refusals
	// said is the last offer that was made of it.
	said offered
	// lent are the shared volumes that were offered in the cycle lentRun.
	lent    []*kind
	lentRun uint64
	// turns are the clients that were served within reofferGap, and when.
	turns []turn
}

// turn is a client that was served, and when.
type turn struct {
	client *client
	at     time.Time
}

// serve notes a turn.
func (ag *agent) serve(c *client, now time.Time) {
	ag.turns = slices.DeleteFunc(ag.turns, func(t turn) bool { return t.client == c || now.Sub(t.at) >= reofferGap })
	ag.turns = append(ag.turns, turn{c, now})
}

// gap says until when an agent is kept from a client that was served in an earlier step.
func (ag *agent) gap(c *client, now time.Time) (until time.Time, kept bool) {
	for _, t := range ag.turns {
		if t.client == c && t.at.Before(now) && now.Sub(t.at) < reofferGap {
			return t.at.Add(reofferGap), true
		}
	}
	return time.Time{}, false
}

// holding is what one client has of an agent. What it was given last is kept apart until something else
// happens: most often it comes back as it was.
type holding struct {
	client   *client
	portions []portion
	latest   []portion
}

// offered is an offer as the client was told of it. While the portions come back as they were said,
// and are offered again, nothing has to be read or written anew.
type offered struct {
	client   *client
	portions []portion
	wire     []*mesos.Resource
}

// same says whether two slices are one.
func same[T any](x, y []T) bool { return len(x) == len(y) && len(x) > 0 && &x[0] == &y[0] }

// heldBy is what a client has of an agent.
func (ag *agent) heldBy(c *client) []portion {
	switch h := ag.holding(c); {
	case h == nil:
		return nil
	case len(h.latest) == 0:
		return h.portions
	case len(h.portions) == 0:
		return h.latest
	default:
		return add(slices.Clone(h.portions), h.latest)
	}
}

// holding is a client's, nil if it has nothing.
func (ag *agent) holding(c *client) *holding {
	for i := range ag.held {
		if ag.held[i].client == c {
			return &ag.held[i]
		}
	}
	return nil
}

// setHeld replaces what a client has of an agent.
func (ag *agent) setHeld(c *client, portions []portion) {
	i := slices.IndexFunc(ag.held, func(h holding) bool { return h.client == c })
	switch {
	case i >= 0 && len(portions) > 0:
		ag.held[i].portions, ag.held[i].latest = portions, nil
	case i >= 0:
		last := len(ag.held) - 1
		ag.held[i], ag.held[last] = ag.held[last], holding{}
		ag.held = ag.held[:last]
	case len(portions) > 0:
		ag.held = append(ag.held, holding{client: c, portions: portions})
	}
}

// add puts portions into a set.
func add(to []portion, more []portion) []portion {
	if len(to) == 0 {
		return slices.Clone(more)
	}
	for _, p := range more {
		at := slices.IndexFunc(to, func(o portion) bool { return o.kind == p.kind })
		if at < 0 {
			to = append(to, p)
			continue
		}
		to[at].amount = to[at].amount.plus(p.amount)
	}
	return to
}

// sub takes portions out of a set, as far as they are in it.
func sub(from []portion, less []portion) []portion {
	if same(from, less) {
		return nil
	}
	out := make([]portion, 0, len(from))
	for _, p := range from {
		for _, l := range less {
			if l.kind == p.kind {
				p.amount = p.amount.minus(l.amount)
			}
		}
		if !p.amount.empty() {
			out = append(out, p)
		}
	}
	return out
}

// unshared is what one holder has alone: shared volumes stay free for others.
func unshared(portions []portion) []portion {
	if !slices.ContainsFunc(portions, func(p portion) bool { return p.kind.shared }) {
		return portions
	}
	return slices.DeleteFunc(slices.Clone(portions), func(p portion) bool { return p.kind.shared })
}

// firm is what cannot be revoked.
func firm(portions []portion) []portion {
	if !slices.ContainsFunc(portions, func(p portion) bool { return p.kind.revocable }) {
		return portions
	}
	return slices.DeleteFunc(slices.Clone(portions), func(p portion) bool { return p.kind.revocable })
}

// containsAll reports whether every portion of b is in a.
func containsAll(a, b []portion) bool {
	if same(a, b) {
		return true
	}
	for _, p := range b {
		at := slices.IndexFunc(a, func(o portion) bool { return o.kind == p.kind })
		if at < 0 || !a[at].amount.contains(p.amount) {
			return false
		}
	}
	return true
}

// setFree replaces what is free on an agent, and keeps the list of those that have something.
func (a *Allocator) setFree(ag *agent, free []portion) {
	ag.free = free
	switch open := len(free) > 0; {
	case open && !ag.isOpen:
		ag.isOpen, ag.openSlot = true, len(a.open)
		a.open = append(a.open, ag)
	case !open && ag.isOpen:
		last := a.open[len(a.open)-1]
		a.open[ag.openSlot], last.openSlot = last, ag.openSlot
		a.open[len(a.open)-1] = nil
		a.open = a.open[:len(a.open)-1]
		ag.isOpen = false
	}
}

// touch lets an agent be looked at in this step.
func (a *Allocator) touch(ag *agent) {
	ag.version++
	if !ag.touched {
		ag.touched = true
		a.dirty = append(a.dirty, ag)
	}
}

func (a *Allocator) addAgent(c core.AllocatorAddAgent) {
	if a.agents[c.ID] != nil {
		a.removeAgent(c.ID)
	}
	ag := &agent{id: c.ID, generation: c.Generation, slot: len(a.order), active: c.Active, total: a.kinds.portions(c.Total)}
	a.agents[c.ID] = ag
	a.order = append(a.order, ag)
	ag.free = slices.Clone(ag.total)
	a.count(ag.total, 1)
	for _, id := range sortedIDs(c.Used) {
		f := a.framework(id)
		for _, r := range c.Used[id] {
			role := r.GetAllocationInfo().GetRole()
			if role == "" {
				role = "*"
			}
			cl := a.client(f, role)
			used := a.kinds.portions(append(c.Used[id][:0:0], r))
			ag.setHeld(cl, add(ag.heldBy(cl), used))
			ag.free = sub(ag.free, unshared(used))
		}
		for _, cl := range f.clients {
			if held := ag.heldBy(cl); len(held) > 0 {
				a.account(cl, held, 1)
			}
		}
	}
	ag.describe(c.Info)
	ag.capable(c.Capabilities)
	a.setFree(ag, ag.free)
	a.touch(ag)
}

// describe takes over what an agent says of itself, and what follows from its total.
func (ag *agent) describe(info *mesos.AgentInfo) {
	ag.info = info
	ag.gpus = hasGPUs(ag.total)
	ag.special = slices.ContainsFunc(ag.total, func(p portion) bool { return p.kind.role != "" || p.kind.revocable })
}

// capable takes over an agent's capabilities; one that names none has all.
func (ag *agent) capable(capabilities []*mesos.AgentInfo_Capability) {
	lacks := func(want mesos.AgentInfo_Capability_Type) bool {
		return len(capabilities) > 0 && !slices.ContainsFunc(capabilities, func(c *mesos.AgentInfo_Capability) bool { return c.GetType() == want })
	}
	ag.oneRole = lacks(mesos.AgentInfo_Capability_MULTI_ROLE)
	ag.flatRoles = lacks(mesos.AgentInfo_Capability_HIERARCHICAL_ROLE)
}

func hasGPUs(total []portion) bool {
	return slices.ContainsFunc(total, func(p portion) bool { return p.kind.name == "gpus" && p.amount.scalar > 0 })
}

// count adds an agent's total to the cluster's, or takes it away.
func (a *Allocator) count(total []portion, sign int64) {
	for _, p := range total {
		if p.kind.scalar < 0 {
			continue
		}
		i, n := p.kind.scalar, sign*p.amount.scalar
		for len(a.excluded) < len(a.kinds.names) {
			a.excluded = append(a.excluded, slices.Contains(a.config.ExcludedResources, a.kinds.names[len(a.excluded)]))
		}
		a.total = bump(a.total, i, n)
		if p.kind.plain() {
			a.plain = bump(a.plain, i, n)
		}
		if p.kind.role != "" {
			for r := a.tree.find(p.kind.role); r.parent != nil; r = r.parent {
				r.reserved = bump(r.reserved, i, n)
				a.recount(r)
				a.checkFull(r)
			}
		}
	}
	a.stale = true
	if len(a.limited) > 0 {
		a.lookAtAll() // the headroom has changed
	}
}

func (a *Allocator) updateAgent(c core.AllocatorUpdateAgent) {
	ag := a.agents[c.ID]
	if ag == nil {
		return
	}
	if c.Info != nil && !sameAttributes(ag.info, c.Info) {
		a.forgetAgent(ag)
	}
	a.count(ag.total, -1)
	ag.total = a.kinds.portions(c.Total)
	a.count(ag.total, 1)
	ag.describe(c.Info)
	ag.capable(c.Capabilities)
	a.setFree(ag, a.rest(ag))
	a.touch(ag)
}

// lendAgent replaces what can be revoked of an agent.
func (a *Allocator) lendAgent(c core.AllocatorLendAgent) {
	ag := a.agents[c.ID]
	if ag == nil {
		return
	}
	a.count(ag.total, -1)
	ag.total = add(slices.Clone(firm(ag.total)), a.kinds.portions(c.Revocable))
	a.count(ag.total, 1)
	a.setFree(ag, a.rest(ag))
	a.touch(ag)
}

// rest is what nobody holds of an agent's total. Of revocable resources more may be held than there
// are, because the agent takes them back by ending tasks: then none is left.
func (a *Allocator) rest(ag *agent) []portion {
	var taken []portion
	for _, cl := range a.holders(ag) {
		taken = add(taken, unshared(ag.heldBy(cl)))
	}
	return sub(slices.Clone(ag.total), taken)
}

// sameAttributes says whether filters survive an update of an agent.
func sameAttributes(x, y *mesos.AgentInfo) bool {
	return slices.EqualFunc(x.GetAttributes(), y.GetAttributes(), func(p, q *mesos.Attribute) bool { return proto.Equal(p, q) })
}

func (a *Allocator) removeAgent(id core.AgentID) {
	ag := a.agents[id]
	if ag == nil {
		return
	}
	delete(a.agents, id)
	a.order[ag.slot] = nil
	a.forgetAgent(ag)
	for _, c := range a.holders(ag) {
		a.account(c, ag.heldBy(c), -1)
	}
	a.count(ag.total, -1)
	a.setFree(ag, nil)
	ag.active, ag.left, ag.held, ag.filters = false, true, nil, refusals{}
	if len(a.order) > 64 && len(a.order) > 2*len(a.agents) {
		a.compact()
	}
}

// holders lists an agent's clients in an order that depends on nothing but names.
func (a *Allocator) holders(ag *agent) []*client {
	out := make([]*client, 0, len(ag.held))
	for _, h := range ag.held {
		out = append(out, h.client)
	}
	slices.SortFunc(out, byName)
	return out
}

func (a *Allocator) compact() {
	a.order = slices.DeleteFunc(a.order, func(ag *agent) bool { return ag == nil })
	for i, ag := range a.order {
		ag.slot = i
	}
}

func (a *Allocator) activate(id core.AgentID, active bool) {
	if ag := a.agents[id]; ag != nil {
		ag.active = active
		a.touch(ag)
	}
}

// hold adds to what a client has of an agent.
func (ag *agent) hold(c *client, portions []portion) {
	switch h := ag.holding(c); {
	case h == nil:
		ag.held = append(ag.held, holding{client: c, latest: portions})
	case len(h.latest) == 0:
		h.latest = portions
	default:
		h.portions, h.latest = ag.heldBy(c), portions
	}
}

// recover takes back what a framework had.
func (a *Allocator) recover(c core.AllocatorRecover) {
	ag, f := a.agents[c.Agent], a.frameworks[c.Framework]
	if ag == nil || f == nil {
		return // it went back when the agent or the framework was removed
	}
	for rest := c.Resources; len(rest) > 0; {
		role := rest[0].GetAllocationInfo().GetRole()
		same := 1
		for same < len(rest) && rest[same].GetAllocationInfo().GetRole() == role {
			same++
		}
		if cl := f.client(role); cl != nil {
			a.giveBack(ag, cl, a.read(ag, cl, rest[:same]), c.Refusal)
		}
		rest = rest[same:]
	}
	a.touch(ag)
}

// read gives the portions that come back to an agent.
func (a *Allocator) read(ag *agent, c *client, back []*mesos.Resource) []portion {
	if ag.said.client == c && same(ag.said.wire, back) {
		return ag.said.portions
	}
	if ag.said.client == c {
		ag.said = offered{} // it was taken apart
	}
	return a.kinds.portions(back)
}

// giveBack returns what one client had, and keeps it from it for the time of the refusal.
func (a *Allocator) giveBack(ag *agent, c *client, back []portion, refusal time.Duration) {
	if h := ag.holding(c); h != nil && len(h.portions) > 0 && same(h.latest, back) {
		h.latest = nil
	} else {
		had := ag.heldBy(c)
		if len(back) == 0 || !containsAll(had, back) {
			return // never held, or recovered before: CheckInvariants of the master finds it
		}
		ag.setHeld(c, sub(had, back))
	}
	switch free := unshared(back); {
	case len(firm(back)) < len(back):
		a.setFree(ag, a.rest(ag)) // of these more may have been held than there are
	case len(ag.free) == 0:
		a.setFree(ag, free)
	default:
		a.setFree(ag, add(slices.Clone(ag.free), free))
	}
	a.account(c, back, -1)
	if refusal > 0 && c.framework.active {
		a.refuse(ag, c, back, max(refusal, a.config.Interval))
	}
}
