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
	if a.stale {
		a.rerank()
	}
	fresh := a.newcomers()
	list := a.dirty
	if a.all {
		list = a.shuffled()
	}
	if len(list)+len(fresh) == 0 {
		return nil
	}
	a.runs++
	if len(a.limited) > 0 {
		a.surplus = a.headroom()
		for _, r := range a.limited {
			a.checkFull(r)
		}
		offers = a.payDebts(list, offers)
	}
	for _, ag := range list {
		ag.touched = false
		if a.wanting(ag) {
			offers = a.share(ag, offers)
		}
	}
	for _, ag := range a.dirty {
		ag.touched = false
	}
	a.dirty, a.all = a.dirty[:0], false
	return a.welcome(fresh, offers)
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
	if a.agents[ag.id] != ag || !ag.active || len(ag.free) == 0 {
		return false
	}
	return ag.version != ag.idleVersion || a.epoch != ag.idleEpoch
}

// payDebts is the first stage: guarantees that are not met.
func (a *Allocator) payDebts(list []*agent, offers []core.AllocatorOffer) []core.AllocatorOffer {
	owed := a.unsatisfied()
	for _, ag := range list {
		if len(owed) == 0 {
			break
		}
		if !a.wanting(ag) {
			continue
		}
		for i := 0; i < len(owed) && a.worthLooking(ag); {
			r := owed[i]
			before := len(offers)
			offers = a.serve(ag, r, offers)
			switch {
			case r.satisfied():
				owed = slices.Delete(owed, i, i+1)
			case len(offers) > before:
				owed = place(slices.Delete(owed, i, i+1), r, compareRole)
				if owed[i] == r {
					i++
				}
			default:
				i++
			}
		}
	}
	return offers
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
	if !a.worthLooking(ag) {
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
	ag.idleVersion, ag.idleEpoch = ag.version, a.epoch
	a.given = given
	return a.settle(ag, given, offers)
}

// welcome asks the newcomers about the agents that were left free.
func (a *Allocator) welcome(fresh []*client, offers []core.AllocatorOffer) []core.AllocatorOffer {
	if len(fresh) == 0 {
		return offers
	}
	for _, ag := range a.order {
		if ag == nil || !ag.active || len(ag.free) == 0 || !a.worthLooking(ag) {
			continue
		}
		slices.SortFunc(fresh, compareTree)
		var given []grant
		for _, c := range fresh {
			if part := a.part(ag, c, nil); len(part) > 0 {
				given = append(given, a.give(ag, c, part))
			}
		}
		offers = a.settle(ag, given, offers)
	}
	return offers
}

// compareTree orders clients of any roles: where their ways part, the ranks there decide.
func compareTree(x, y *client) int {
	if x.role == y.role {
		return x.before(&y.rank)
	}
	up, down := x.role.way(), y.role.way()
	for i := 0; ; i++ {
		switch {
		case i < len(up) && i < len(down) && up[i] == down[i]:
			continue
		case i < len(up) && i < len(down):
			return up[i].as.before(&down[i].as.rank)
		case i < len(up): // y sits at the node where x goes deeper
			return up[i].as.before(&y.role.own.rank)
		default:
			return x.role.own.before(&down[i].as.rank)
		}
	}
}

// way is the list of roles from the top level down to r.
func (r *role) way() []*role {
	var nodes []*role
	for ; r.parent != nil; r = r.parent {
		nodes = append(nodes, r)
	}
	slices.Reverse(nodes)
	return nodes
}

// shuffled is every agent in an order that favours none.
func (a *Allocator) shuffled() []*agent {
	list := make([]*agent, 0, len(a.agents))
	for _, ag := range a.order {
		if ag != nil && a.wanting(ag) {
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
	ag.free = sub(ag.free, unshared(part))
	ag.last, ag.lastAt = c, a.now
	for r := c.role; len(a.limited) > 0 && r.parent != nil; r = r.parent {
		if r.quota != nil || r.parent.parent == nil {
			a.spend(part, r)
			break
		}
	}
	a.use(c, part, 1)
	return grant{c, part}
}

// settle books grants and makes offers of them.
func (a *Allocator) settle(ag *agent, given []grant, offers []core.AllocatorOffer) []core.AllocatorOffer {
	for _, g := range given {
		ag.hold(g.client, g.portions)
		a.rank(g.client, g.portions, 1)
		offers = append(offers, a.offer(ag, g))
	}
	return offers
}

func (a *Allocator) offer(ag *agent, g grant) core.AllocatorOffer {
	c := g.client
	return core.AllocatorOffer{Framework: c.framework.id, Role: c.role.path, Agent: ag.id, Generation: ag.generation,
		Resources: protos(g.portions, c.allocation), QuotaChanges: a.changes}
}
