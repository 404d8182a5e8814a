package allocator_test

import (
	"cmp"
	"slices"
	"strings"
)

// full says whether a role's own limit leaves nothing that is worth an offer.
func (p *plain) full(role string) bool {
	q, ok := p.quotas[role]
	if !ok || p.overridden {
		return false
	}
	return !slices.ContainsFunc(defaultMinimum, func(set map[string]int64) bool {
		for name, need := range set {
			if limit, ok := q.limit[name]; ok && limit-p.consumed(role, name) < need {
				return false
			}
		}
		return true
	})
}

// consumed counts against quota: reservations for the role or below it, and what is held there without one.
func (p *plain) consumed(role, name string) (sum int64) {
	for _, a := range p.agents {
		for _, reserved := range a.total.ReservationRoles() {
			if below(reserved, role) {
				sum += a.total.ReservedTo(reserved).Scalar(name)
			}
		}
		for c, r := range a.held {
			if below(c.role, role) {
				sum += counted(r).Scalar(name)
			}
		}
	}
	return sum
}

func (p *plain) unmet(role, name string) int64 {
	guarantee := p.quotas[role].guarantee[name]
	if guarantee == 0 {
		return 0
	}
	return max(0, guarantee-p.consumed(role, name))
}

// need is what must be kept for a role: its own unmet guarantee, or those of its children where they are more.
func (p *plain) need(role, name string) int64 {
	return max(p.unmet(role, name), p.needBelow(role, name))
}

// needBelow sums the needs one level below a role; "" is above all.
func (p *plain) needBelow(role, name string) (sum int64) {
	children := map[string]bool{}
	for quota := range p.quotas {
		for _, above := range aboves(quota) {
			if parent, _, _ := cutLast(above); parent == role {
				children[above] = true
			}
		}
	}
	for child := range children {
		sum += p.need(child, name)
	}
	return sum
}

func cutLast(role string) (parent, name string, nested bool) {
	cut := strings.LastIndexByte(role, '/')
	if cut < 0 {
		return "", role, false
	}
	return role[:cut], role[cut+1:], true
}

// allowance is how much of a scalar quota lets a client have.
func (p *plain) allowance(c plainClient, name string, first bool) (all, owed int64) {
	room := int64(1) << 60
	for _, role := range aboves(c.role) {
		if limit, ok := p.quotas[role].limit[name]; ok {
			room = min(room, max(0, limit-p.consumed(role, name)))
		}
		if first {
			owed += max(0, p.unmet(role, name)-p.needBelow(role, name))
		}
	}
	owed = min(owed, room)
	surplus := -p.needBelow("", name)
	for _, a := range p.agents {
		surplus += counted(a.total).Scalar(name)
		for _, held := range a.held {
			surplus -= counted(held).Scalar(name)
		}
	}
	return owed + min(room-owed, max(0, surplus)), owed
}

// in are the clients of a role and below it that want offers.
func (p *plain) in(role string) []plainClient {
	return slices.DeleteFunc(p.wanting(), func(c plainClient) bool { return !below(c.role, role) })
}

func (p *plain) satisfied(role string) bool {
	for name := range p.quotas[role].guarantee {
		if p.unmet(role, name) > 0 {
			return false
		}
	}
	return true
}

// debts are the roles with unmet guarantees and clients that want offers, in the order of the tree; a
// role comes after those below it.
func (p *plain) debts() []string {
	var list []string
	for role := range p.quotas {
		if !p.satisfied(role) && !p.full(role) && len(p.order(p.in(role), role+"/", false)) > 0 {
			list = append(list, role)
		}
	}
	slices.SortFunc(list, p.compareRoles)
	return list
}

func (p *plain) compareRoles(x, y string) int {
	up, down := aboves(x), aboves(y)
	slices.Reverse(up)
	slices.Reverse(down)
	for i := range min(len(up), len(down)) {
		if u, d := up[i], down[i]; u != d {
			return cmp.Or(cmp.Compare(p.share(u), p.share(d)), cmp.Compare(p.served[u], p.served[d]), cmp.Compare(u, d))
		}
	}
	return len(down) - len(up)
}
