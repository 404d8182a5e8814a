package allocator

import (
	"slices"

	"agora.dev/agora/master/core"
)

// fewFresh is how many clients that began to want offers are asked apart from the others;
// more of them make a full cycle.
const fewFresh = 16

// allocate looks at the agents that something happened to, or at all of them.
func (a *Allocator) allocate() (offers []core.AllocatorOffer) {
	if a.recovering() {
		return nil
	}
	if a.stale {
		a.rerank()
	}
	fresh := a.newcomers()
	list := a.dirty
	if a.all {
		list = a.shuffled()
	}
	if len(list)+len(fresh) == 0 && !a.all {
		a.looked()
		return nil
	}
	a.runs++
	if n := min(len(list), a.offered); n > 0 {
		offers = make([]core.AllocatorOffer, 0, n)
	}
	if len(a.limited) > 0 {
		a.settleQuotas()
		a.surplus = a.headroom()
		offers = a.payDebts(list, offers)
	}
	for _, ag := range list {
		if a.wanting(ag) {
			offers = a.share(ag, offers)
		}
	}
	a.looked()
	offers = a.welcome(fresh, offers)
	a.offered = len(offers)
	return offers
}

// looked says that there is nothing to be looked at any more.
func (a *Allocator) looked() {
	for _, ag := range a.dirty {
		ag.touched = false
	}
	a.dirty, a.all = a.dirty[:0], false
}

// newcomers are the clients that began to want offers, if they can be asked apart.
func (a *Allocator) newcomers() []*client {
	var few []*client
	for _, c := range a.fresh {
		c.fresh = false
		if c.listed {
			few = append(few, c)
		}
	}
	clear(a.fresh)
	a.fresh = a.fresh[:0]
	if len(few) > fewFresh || len(few) > 0 && len(a.limited) > 0 {
		a.lookAtAll()
		return nil
	}
	return few
}

// wanting says whether it is worth looking at an agent: it is there, it has something free, and
// something has changed since nobody wanted it.
func (a *Allocator) wanting(ag *agent) bool {
	if ag.left || !a.inUse(ag) || len(ag.free) == 0 {
		return false
	}
	return ag.version != ag.idleVersion || a.epoch != ag.idleEpoch
}

// payDebts is the first stage: guarantees that are not met. Each role that is owed something is
// asked once about each agent.
func (a *Allocator) payDebts(list []*agent, offers []core.AllocatorOffer) []core.AllocatorOffer {
	owed := a.unsatisfied()
	var paid []*role
	for _, ag := range list {
		if owed.length == 0 {
			break
		}
		if !a.wanting(ag) || !a.worthLooking(ag) {
			continue
		}
		paid = paid[:0]
		ask := func(r *role) (stop bool) {
			before := len(offers)
			if r.satisfied() { // by what a role below it got of this agent
				return false
			}
			if offers = a.serve(ag, r, offers); len(offers) > before {
				paid = append(paid, r)
			}
			return !a.worthLooking(ag)
		}
		if a.tree.drawRoles {
			draw(a.tree, owed.flat(), func(r *role) float64 { return r.as.weight }, ask)
		} else {
			owed.visit(ask)
		}
		a.reorderDebts(owed, paid)
	}
	return offers
}

// reorderDebts puts roles that were served where they belong now, or out of the list.
func (a *Allocator) reorderDebts(owed *ordered[role], paid []*role) {
	nested := false
	for _, r := range paid {
		owed.drop(r)
		nested = nested || r.parent.parent != nil || r.quotasBelow > 0
	}
	if nested {
		owed.deleteFunc((*role).satisfied) // those above are paid with it
	}
	for _, r := range paid {
		if !r.satisfied() && a.tree.drawRoles {
			owed.append(r)
		} else if !r.satisfied() {
			owed.insert(r, compareRole)
		}
	}
	if nested && !a.tree.drawRoles {
		owed.sort(compareRole) // the ranks of those above have changed
	}
}

// serve offers a role's clients what it is owed.
func (a *Allocator) serve(ag *agent, debt *role, offers []core.AllocatorOffer) []core.AllocatorOffer {
	var given []grant
	debt.visit(false, func(c *client) bool {
		if part := a.part(ag, c, debt); len(part) > 0 {
			given = append(given, a.give(ag, c, part))
			return debt.satisfied() || !a.worthLooking(ag)
		}
		return false
	})
	return a.settle(ag, given, offers)
}

// share is the second stage: what is free goes to whoever deserves it most.
func (a *Allocator) share(ag *agent, offers []core.AllocatorOffer) []core.AllocatorOffer {
	if !a.worthLooking(ag) || len(a.limited) > 0 && !ag.special && !a.surplusWorth() {
		ag.idleVersion, ag.idleEpoch = ag.version, a.epoch
		return offers
	}
	given := a.given[:0]
	a.tree.root.visit(ag.special, func(c *client) bool {
		if part := a.part(ag, c, nil); len(part) > 0 {
			given = append(given, a.give(ag, c, part))
			return !a.worthLooking(ag)
		}
		return false
	})
	if len(ag.lent) == 0 || ag.lentRun != a.runs { // else others may have what was lent in the next cycle
		ag.idleVersion, ag.idleEpoch = ag.version, a.epoch
	}
	a.given = given
	return a.settle(ag, given, offers)
}

// welcome asks the newcomers about the agents that were left free.
func (a *Allocator) welcome(fresh []*client, offers []core.AllocatorOffer) []core.AllocatorOffer {
	if len(fresh) == 0 {
		return offers
	}
	for _, ag := range slices.Clone(a.open) {
		if !a.inUse(ag) || len(ag.free) == 0 || !a.worthLooking(ag) {
			continue
		}
		var given []grant
		for _, c := range a.tree.root.sortFew(fresh) {
			if part := a.part(ag, c, nil); len(part) > 0 {
				given = append(given, a.give(ag, c, part))
			}
		}
		offers = a.settle(ag, given, offers)
	}
	return offers
}

// shuffled is every agent in an order that favours none.
func (a *Allocator) shuffled() []*agent {
	list := make([]*agent, 0, len(a.open))
	for _, ag := range a.open {
		if a.wanting(ag) {
			list = append(list, ag)
		}
	}
	a.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// grant is what one client gets of one agent in one cycle.
type grant struct {
	client   *client
	portions []portion
}

// give takes a part out of what is free. The orders change only in settle, for they are being
// walked along.
func (a *Allocator) give(ag *agent, c *client, part []portion) grant {
	a.setFree(ag, sub(ag.free, unshared(part)))
	a.lend(ag, part)
	ag.serve(c, a.now)
	if len(a.limited) > 0 {
		a.spend(c, part)
	} else {
		a.use(c, part, 1)
	}
	return grant{c, part}
}

// settle books grants and makes offers of them.
func (a *Allocator) settle(ag *agent, given []grant, offers []core.AllocatorOffer) []core.AllocatorOffer {
	for _, g := range given {
		ag.hold(g.client, g.portions)
		a.rank(g.client, booking{g.portions, 1, 1})
		offers = append(offers, a.offer(ag, g))
	}
	return offers
}

func (a *Allocator) offer(ag *agent, g grant) core.AllocatorOffer {
	c := g.client
	switch {
	case !same(ag.said.portions, g.portions):
		ag.said.portions, ag.said.wire = g.portions, protos(g.portions, c.role.allocation)
	case ag.said.client.role != c.role:
		ag.said.wire = reallocated(g.portions, ag.said.wire, c.role.allocation)
	}
	ag.said.client = c
	return core.AllocatorOffer{Framework: c.framework.id, Role: c.role.path, Agent: ag.id, Generation: ag.generation,
		Resources: ag.said.wire, QuotaChanges: a.changes}
}
