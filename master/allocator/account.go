package allocator

import "slices"

// account changes what a client, its role and every role above hold, and their places.
func (a *Allocator) account(c *client, portions []portion, sign int64) {
	a.use(c, portions, sign)
	a.rank(c, portions, sign)
	if sign < 0 && len(a.limited) > 0 {
		a.lookAtAll() // limits and headroom may allow more elsewhere
	}
}

// use counts what quota counts.
func (a *Allocator) use(c *client, portions []portion, sign int64) {
	for r := c.role; r != nil; r = r.parent {
		for _, p := range portions {
			if p.kind.plain() {
				r.used = bump(r.used, p.kind.scalar, sign*p.amount.scalar)
			}
		}
	}
}

// rank moves a client and the roles above it to their new places in the orders.
func (a *Allocator) rank(c *client, portions []portion, sign int64) {
	r := c.role
	if c.listed && !a.stale {
		replace(r.own.leaf, c, compareClient, func() { a.move(&c.rank, portions, sign) })
	} else {
		a.move(&c.rank, portions, sign)
	}
	a.reorder(r, r.own, portions, sign)
	for ; r.parent != nil; r = r.parent {
		a.reorder(r.parent, r.as, portions, sign)
		a.checkFull(r)
	}
}

func (a *Allocator) reorder(r *role, b *branch, portions []portion, sign int64) {
	if !b.listed || a.stale || len(r.order) == 1 {
		a.move(&b.rank, portions, sign)
		return
	}
	replace(r.order, b, compareBranch, func() { a.move(&b.rank, portions, sign) })
}

func (a *Allocator) move(r *rank, portions []portion, sign int64) {
	for _, p := range portions {
		if p.kind.scalar >= 0 && !p.kind.shared {
			r.held = bump(r.held, p.kind.scalar, sign*p.amount.scalar)
		}
	}
	if sign > 0 {
		r.served++
	}
	r.compute(a.total, a.excluded)
}

// rerank computes every share anew: the cluster's totals or weights have changed.
func (a *Allocator) rerank() {
	a.stale = false
	a.rerankRole(a.tree.root)
	for _, f := range a.frameworks {
		for _, c := range f.clients {
			c.compute(a.total, a.excluded)
		}
	}
	a.tree.root.resort()
}

// rerankRole visits roles without clients who want offers too.
func (a *Allocator) rerankRole(r *role) {
	r.own.compute(a.total, a.excluded)
	for _, below := range r.below {
		below.as.weight = a.tree.weight(below.path)
		below.as.compute(a.total, a.excluded)
		a.rerankRole(below)
	}
}

func (r *role) resort() {
	slices.SortFunc(r.own.leaf, compareClient)
	for _, below := range r.below {
		below.resort()
	}
	slices.SortFunc(r.order, compareBranch)
}
