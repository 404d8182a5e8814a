package allocator

// booking is a change of what somebody holds. served counts the times that they were served with it.
type booking struct {
	portions []portion
	sign     int64
	served   int64
}

// account changes what a client, its role and every role above hold, and their places. What is added
// counts as one time that they were served.
func (a *Allocator) account(c *client, portions []portion, sign int64) {
	a.use(c, portions, sign)
	a.rank(c, booking{portions, sign, max(0, sign)})
	if sign < 0 && len(a.limited) > 0 {
		a.lookAtAll() // limits and headroom may allow more elsewhere
	}
}

// exchange books other resources in the place of some.
func (a *Allocator) exchange(c *client, from, to []portion) {
	a.use(c, from, -1)
	a.use(c, to, 1)
	a.rank(c, booking{portions: from, sign: -1})
	a.rank(c, booking{portions: to, sign: 1})
}

// use counts what quota counts.
func (a *Allocator) use(c *client, portions []portion, sign int64) {
	for r := c.role; r != nil; r = r.parent {
		a.recount(r)
		for _, p := range portions {
			if p.kind.plain() {
				r.used = bump(r.used, p.kind.scalar, sign*p.amount.scalar)
			}
		}
	}
}

// rank moves a client and the roles above it to their new places in the orders.
func (a *Allocator) rank(c *client, b booking) {
	r := c.role
	if c.listed && !a.stale && !a.tree.drawFrameworks {
		r.own.leaf.replace(c, compareClient, func() { a.move(&c.rank, b) })
	} else {
		a.move(&c.rank, b)
	}
	a.reorder(r, r.own, b)
	for ; r.parent != nil; r = r.parent {
		a.reorder(r.parent, r.as, b)
		a.checkFull(r)
	}
}

func (a *Allocator) reorder(r *role, entry *branch, b booking) {
	if !entry.listed || a.stale || a.tree.drawRoles || r.order.length == 1 {
		a.move(&entry.rank, b)
		return
	}
	r.order.replace(entry, compareBranch, func() { a.move(&entry.rank, b) })
}

func (a *Allocator) move(r *rank, b booking) {
	for _, p := range b.portions {
		if p.kind.scalar >= 0 && !p.kind.shared {
			r.held = bump(r.held, p.kind.scalar, b.sign*p.amount.scalar)
		}
	}
	r.served += b.served
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
	if !r.tree.drawFrameworks {
		r.own.leaf.sort(compareClient)
	}
	for _, below := range r.below {
		below.resort()
	}
	if !r.tree.drawRoles {
		r.order.sort(compareBranch)
	}
}
