package allocator

import (
	"maps"
	"math"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

// quantities are amounts by scalar name.
type quantities map[string]int64

// quotaOf is the quota of a role, by scalar index: what it is promised, and what it may have
// at most (-1: no limit).
type quotaOf struct {
	guarantee, limit []int64
	full             bool // what the limit leaves is not worth an offer
}

func (a *Allocator) quantitiesOf(amounts map[string]*mesos.Value_Scalar) quantities {
	out := quantities{}
	for name, value := range amounts {
		out[name] = milli(value.GetValue())
	}
	return out
}

// setQuotas replaces the quotas of the roles that are named; one without guarantee and limit
// takes the role's quota away.
func (a *Allocator) setQuotas(configs map[string]*quota.QuotaConfig) {
	for _, path := range slices.Sorted(maps.Keys(configs)) {
		r, config := a.tree.find(path), configs[path]
		if i := slices.Index(a.limited, r); i >= 0 {
			a.limited = slices.Delete(a.limited, i, i+1)
		}
		r.quota = nil
		if len(config.GetGuarantees())+len(config.GetLimits()) > 0 {
			r.quota = &quotaOf{}
			guarantees, limits := a.quantitiesOf(config.GetGuarantees()), a.quantitiesOf(config.GetLimits())
			for _, name := range slices.Sorted(maps.Keys(guarantees)) {
				r.quota.guarantee = bump(r.quota.guarantee, a.kinds.index(name), guarantees[name])
			}
			for _, name := range slices.Sorted(maps.Keys(limits)) {
				for i := a.kinds.index(name); len(r.quota.limit) <= i; {
					r.quota.limit = append(r.quota.limit, -1)
				}
				r.quota.limit[a.kinds.index(name)] = limits[name]
			}
			a.limited = append(a.limited, r)
		}
		a.checkFull(r)
		r.relist()
	}
	a.lookAtAll()
}

// consumed is what counts against a role's quota.
func (r *role) consumed(i int) int64 { return at(r.reserved, i) + at(r.used, i) }

// unmet is how much of a guarantee is still owed.
func (r *role) unmet(i int) int64 {
	if r.quota == nil {
		return 0
	}
	return max(0, at(r.quota.guarantee, i)-r.consumed(i))
}

func (r *role) satisfied() bool {
	for i := range r.quota.guarantee {
		if r.unmet(i) > 0 {
			return false
		}
	}
	return true
}

// room is how much the limits of a role and of those above it leave.
func (r *role) room(i int) int64 {
	left := int64(math.MaxInt64)
	for ; r.parent != nil; r = r.parent {
		if r.quota != nil && i < len(r.quota.limit) && r.quota.limit[i] >= 0 {
			left = min(left, max(0, r.quota.limit[i]-r.consumed(i)))
		}
	}
	return left
}

// checkFull finds out whether a role's own limit leaves anything worth an offer.
func (a *Allocator) checkFull(r *role) {
	if r.quota == nil {
		return
	}
	full := !a.overridden && len(a.minimum) > 0
	for _, set := range a.minimum {
		fits := true
		for name, need := range set {
			i := a.kinds.index(name)
			if i < len(r.quota.limit) && r.quota.limit[i] >= 0 && r.quota.limit[i]-r.consumed(i) < need {
				fits = false
			}
		}
		full = full && !fits
	}
	if r.quota.full != full {
		r.quota.full = full
		r.relist()
	}
}

// headroom is what may be given away beyond guarantees: all that is free without
// reservation, less what is owed to roles.
func (a *Allocator) headroom() []int64 {
	surplus := make([]int64, len(a.kinds.names))
	for i := range surplus {
		surplus[i] = at(a.plain, i) - at(a.tree.root.used, i)
	}
	for _, r := range a.limited {
		for i := range r.quota.guarantee {
			surplus[i] -= r.unmet(i)
		}
	}
	return surplus
}

// unsatisfied are the roles that are owed something and have a framework that wants it, the
// most deserving first.
func (a *Allocator) unsatisfied() []*role {
	var owed []*role
	for _, r := range a.limited {
		if !r.satisfied() && r.as.listed {
			owed = append(owed, r)
		}
	}
	slices.SortFunc(owed, compareRole)
	return owed
}

// compareRole orders roles by their rank among siblings; quota stands at the top level.
func compareRole(x, y *role) int { return x.as.before(&y.as.rank) }

// chop reduces the plain scalars of a part to what quota allows: what is owed, and beyond it
// what limits and headroom leave. In the first stage a part that pays off no debt is nothing.
func (a *Allocator) chop(c *client, part []portion, debt *role) []portion {
	if len(a.limited) == 0 {
		return part
	}
	out, pays := make([]portion, 0, len(part)), false
	for _, p := range part {
		if p.kind.plain() {
			i := p.kind.scalar
			var owed int64
			if debt != nil {
				owed = min(p.amount.scalar, debt.unmet(i))
				pays = pays || owed > 0
			}
			room := min(p.amount.scalar, c.role.room(i))
			extra := min(room-min(owed, room), max(0, at(a.surplus, i)))
			p.amount.scalar = min(owed, room) + extra
		}
		if !p.amount.empty() {
			out = append(out, p)
		}
	}
	if debt != nil && !pays {
		return nil
	}
	return out
}

// spend brings the headroom up to date after a grant.
func (a *Allocator) spend(part []portion, debt *role) {
	for _, p := range part {
		if p.kind.plain() && p.kind.scalar < len(a.surplus) {
			paid := int64(0)
			if debt != nil {
				paid = min(p.amount.scalar, debt.unmet(p.kind.scalar))
			}
			a.surplus[p.kind.scalar] -= p.amount.scalar - paid
		}
	}
}
