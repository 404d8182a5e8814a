package allocator

import (
	"maps"
	"math"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

// quantities are amounts by scalar index.
type quantities []quantity

type quantity struct {
	scalar int
	amount int64
}

// quotaOf is the quota of a role, by scalar index: what it is promised, and what it may have
// at most (-1: no limit).
type quotaOf struct {
	guarantee, limit []int64
	full             bool // what the limit leaves is not worth an offer
	outermost        bool // no role above it has a quota
	// need is what is kept free for it, where it is outermost; owed: some guarantee is unmet. recount: both
	// may have changed.
	need          []int64
	owed, recount bool
}

func (a *Allocator) quantitiesOf(amounts map[string]*mesos.Value_Scalar) quantities {
	out := make(quantities, 0, len(amounts))
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		out = append(out, quantity{a.kinds.index(name), milli(amounts[name].GetValue())})
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
			r.countQuota(-1)
		}
		r.quota = nil
		if len(config.GetGuarantees())+len(config.GetLimits()) > 0 {
			r.quota = &quotaOf{}
			for _, q := range a.quantitiesOf(config.GetGuarantees()) {
				r.quota.guarantee = bump(r.quota.guarantee, q.scalar, q.amount)
			}
			for _, q := range a.quantitiesOf(config.GetLimits()) {
				for len(r.quota.limit) <= q.scalar {
					r.quota.limit = append(r.quota.limit, -1)
				}
				r.quota.limit[q.scalar] = q.amount
			}
			a.limited = append(a.limited, r)
			r.countQuota(1)
		}
		a.checkFull(r)
		r.relist()
	}
	a.resetQuotas()
	a.lookAtAll()
}

// countQuota tells the roles above of a quota below them.
func (r *role) countQuota(n int) {
	for r = r.parent; r != nil; r = r.parent {
		r.quotasBelow += n
	}
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
		for _, q := range set {
			if i := q.scalar; i < len(r.quota.limit) && r.quota.limit[i] >= 0 && r.quota.limit[i]-r.consumed(i) < q.amount {
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

// need is what must be kept free for a role's guarantee and for those below it: guarantees of
// children are part of their parent's.
func (r *role) need(i int) int64 { return max(r.unmet(i), r.needBelow(i)) }

func (r *role) needBelow(i int) (sum int64) {
	if r.quotasBelow == 0 {
		return 0
	}
	for _, child := range r.below {
		if child.quota != nil || child.quotasBelow > 0 {
			sum += child.need(i)
		}
	}
	return sum
}

// owed is how much a client of the role may have on account of guarantees: each unit of it lessens
// what must be kept free by one.
func (r *role) owed(i int) (sum int64) {
	for ; r.parent != nil; r = r.parent {
		if r.quota != nil {
			sum += max(0, r.unmet(i)-r.needBelow(i))
		}
	}
	return sum
}

// recount notes that what a role consumes has changed.
func (a *Allocator) recount(r *role) {
	if q := r.quota; q != nil && !q.recount {
		q.recount = true
		a.recounted = append(a.recounted, r)
	}
}

// settleQuotas brings up to date, for roles whose consumption has changed, what is kept free for them and whether
// they are owed something.
func (a *Allocator) settleQuotas() {
	for _, r := range a.recounted {
		q := r.quota
		if q == nil {
			continue // taken away meanwhile
		}
		q.recount = false
		if q.outermost {
			for i := range a.kinds.names {
				need := r.need(i)
				a.required = bump(a.required, i, need-at(q.need, i))
				q.need = bump(q.need, i, need-at(q.need, i))
			}
		}
		switch owed := !r.satisfied(); {
		case owed && !q.owed:
			a.owing = append(a.owing, r)
		case !owed && q.owed:
			a.owing = drop(a.owing, r)
		}
		q.owed = !r.satisfied()
	}
	a.recounted = a.recounted[:0]
}

// resetQuotas lets everything be counted anew: the set of roles with quota has changed.
func (a *Allocator) resetQuotas() {
	a.required, a.owing, a.recounted = nil, nil, nil
	for _, r := range a.limited {
		q := r.quota
		q.recount, q.owed, q.need, q.outermost = false, false, nil, true
		for above := r.parent; above.parent != nil; above = above.parent {
			q.outermost = q.outermost && above.quota == nil
		}
		a.recount(r)
	}
}

// headroom is what may be given away beyond guarantees: all that is free without
// reservation, less what is owed to roles.
func (a *Allocator) headroom() []int64 {
	surplus := a.surplus[:0]
	for i := range a.kinds.names {
		surplus = append(surplus, at(a.plain, i)-at(a.tree.root.used, i)-at(a.required, i))
	}
	return surplus
}

// surplusWorth says whether the headroom has anything worth an offer.
func (a *Allocator) surplusWorth() bool {
	return a.overridden || len(a.minimum) == 0 || slices.ContainsFunc(a.minimum, func(set quantities) bool {
		return !slices.ContainsFunc(set, func(q quantity) bool { return at(a.surplus, q.scalar) < q.amount })
	})
}

// unsatisfied are the roles that are owed something and have a framework that wants it, the
// most deserving first.
func (a *Allocator) unsatisfied() *ordered[role] {
	owed := &ordered[role]{}
	for _, r := range a.owing {
		if r.as.listed {
			owed.append(r)
		}
	}
	if !a.tree.drawRoles {
		owed.sort(compareRole)
	}
	return owed
}

// chop reduces the plain scalars of a part to what quota allows. In the first stage a part that pays
// off no debt is nothing.
func (a *Allocator) chop(c *client, part []portion, debt *role) []portion {
	if len(a.limited) == 0 {
		return part
	}
	if part, pays := a.unchopped(c, part, debt); part != nil {
		if debt != nil && !pays {
			return nil
		}
		return part
	}
	out, pays := make([]portion, 0, len(part)), false
	for _, p := range part {
		if p.kind.plain() {
			before := plainOf(out, p.kind.scalar) // disks may be of several kinds
			all, owed := a.allowance(c, p.kind.scalar, debt != nil)
			amount := min(p.amount.scalar, all-before)
			if p.kind.whole && amount < p.amount.scalar {
				continue
			}
			p.amount.scalar = amount
			pays = pays || amount > 0 && before < owed
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

// unchopped is the part itself if quota allows all of it, which most often it does; else nil. Scalars of
// several kinds are left to chop.
func (a *Allocator) unchopped(c *client, part []portion, debt *role) (whole []portion, pays bool) {
	for n, p := range part {
		if !p.kind.plain() {
			continue
		}
		all, owed := a.allowance(c, p.kind.scalar, debt != nil)
		if p.amount.scalar > all || plainOf(part[:n], p.kind.scalar) > 0 {
			return nil, false
		}
		pays = pays || p.amount.scalar > 0 && owed > 0
	}
	return part, pays
}

// allowance is how much of a plain scalar a client may have: in the first stage what is owed, and in both
// what limits and headroom leave beyond that.
func (a *Allocator) allowance(c *client, i int, first bool) (all, owed int64) {
	room := c.role.room(i)
	if first {
		owed = min(room, c.role.owed(i))
	}
	return owed + min(room-owed, max(0, at(a.surplus, i))), owed
}

// plainOf sums one plain scalar.
func plainOf(portions []portion, i int) (sum int64) {
	for _, p := range portions {
		if p.kind.plain() && p.kind.scalar == i {
			sum += p.amount.scalar
		}
	}
	return sum
}

// spend counts a grant against quota and brings the headroom up to date.
func (a *Allocator) spend(c *client, part []portion) {
	for n, p := range part {
		i := p.kind.scalar
		if p.kind.plain() && i < len(a.surplus) && plainOf(part[:n], i) == 0 {
			sum := plainOf(part[n:], i)
			a.surplus[i] -= sum - min(sum, c.role.owed(i))
		}
	}
	a.use(c, part, 1)
}
