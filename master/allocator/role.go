package allocator

import (
	"cmp"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// rank is a place in an order: whoever has the smallest share is served first, then
// who was served less often, then by name.
type rank struct {
	name   string
	weight float64
	// held is what is allocated, by scalar index; served counts allocations.
	held   []int64
	served int64
	share  float64
}

func (r *rank) before(o *rank) int {
	if r.share != o.share {
		if r.share < o.share {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(r.served, o.served), strings.Compare(r.name, o.name))
}

// bump adds n to the amount of index at of a vector that grows as needed.
func bump(vector []int64, at int, n int64) []int64 {
	for len(vector) <= at {
		vector = append(vector, 0)
	}
	vector[at] += n
	return vector
}

// at reads an amount of a vector.
func at(vector []int64, i int) int64 {
	if i < len(vector) {
		return vector[i]
	}
	return 0
}

// compute is the dominant share: the largest fraction of any scalar of the cluster.
func (r *rank) compute(total []int64, excluded []bool) {
	share := 0.0
	for i, n := range r.held {
		if n > 0 && i < len(total) && total[i] > 0 && !excluded[i] {
			share = max(share, float64(n)/float64(total[i]))
		}
	}
	r.share = share / r.weight
}

// branch is one entry in the order of a role: a role below it, or (the virtual leaf of
// Mesos, "role/.") its own frameworks.
type branch struct {
	rank
	role   *role // nil for the leaf
	leaf   []*client
	listed bool // in the order of the role above
}

// role is a node of the tree. The root has the empty path.
type role struct {
	path   string
	parent *role
	as     *branch // its entry among its parent's
	own    *branch // the entry of its own frameworks
	below  map[string]*role
	// order holds the branches that have clients who want offers.
	order []*branch
	// parked are roles that have clients, but whose limit leaves nothing worth an offer.
	parked  []*branch
	clients int // frameworks in it or below it, silent ones too
	quota   *quotaOf
	// reserved and used are what counts as consumed: reservations anywhere, and
	// what is allocated without a reservation. Roles below are included.
	reserved, used []int64
}

// client is a framework in one of its roles.
type client struct {
	rank
	framework   *framework
	role        *role
	suppressed  bool
	listed      bool // in the order: it wants offers
	fresh       bool // it began to want them, or lost filters, since the last cycle
	filters     []*filter
	constraints *constraints
	allocation  *mesos.Resource_AllocationInfo
}

// tree is all roles that were ever named.
type tree struct {
	root    *role
	weights map[string]float64
}

func newTree() *tree {
	return &tree{root: newRole("", nil), weights: map[string]float64{}}
}

func newRole(path string, parent *role) *role {
	return &role{path: path, parent: parent, below: map[string]*role{}, own: &branch{rank: rank{name: ".", weight: 1}}}
}

// find returns the role, made if need be.
func (t *tree) find(path string) *role {
	node := t.root
	rest := path
	for {
		step, more, nested := strings.Cut(rest, "/")
		next := node.below[step]
		if next == nil {
			name := strings.TrimPrefix(node.path+"/"+step, "/")
			next = newRole(name, node)
			next.as = &branch{rank: rank{name: step, weight: t.weight(name)}, role: next}
			node.below[step] = next
		}
		node = next
		if !nested {
			return node
		}
		rest = more
	}
}

func (t *tree) weight(path string) float64 {
	if w := t.weights[path]; w > 0 {
		return w
	}
	return 1
}

func compareBranch(x, y *branch) int { return x.before(&y.rank) }
func compareClient(x, y *client) int { return x.before(&y.rank) }

// place puts an entry where it belongs.
func place[T any](order []*T, one *T, compare func(x, y *T) int) []*T {
	i, _ := slices.BinarySearchFunc(order, one, compare)
	return slices.Insert(order, i, one)
}

// take takes an entry out; by its place, or where the order is stale by looking for it.
func take[T any](order []*T, one *T, compare func(x, y *T) int) []*T {
	i, _ := slices.BinarySearchFunc(order, one, compare)
	if i >= len(order) || order[i] != one {
		i = slices.Index(order, one)
	}
	return slices.Delete(order, i, i+1)
}

// replace moves an entry whose rank changed between its places; change makes the change.
func replace[T any](order []*T, one *T, compare func(x, y *T) int, change func()) {
	from, _ := slices.BinarySearchFunc(order, one, compare)
	if from >= len(order) || order[from] != one {
		from = slices.Index(order, one)
	}
	change()
	switch {
	case from+1 < len(order) && compare(order[from+1], one) < 0:
		n, _ := slices.BinarySearchFunc(order[from+1:], one, compare)
		copy(order[from:from+n], order[from+1:from+1+n])
		order[from+n] = one
	case from > 0 && compare(one, order[from-1]) < 0:
		to, _ := slices.BinarySearchFunc(order[:from], one, compare)
		copy(order[to+1:from+1], order[to:from])
		order[to] = one
	}
}

// list shows or hides a client in the orders, and the roles above it with it.
func (c *client) list(wanted bool) {
	if c.listed == wanted {
		return
	}
	c.listed = wanted
	r := c.role
	if wanted {
		r.own.leaf = place(r.own.leaf, c, compareClient)
	} else {
		r.own.leaf = take(r.own.leaf, c, compareClient)
	}
	r.show(r.own, len(r.own.leaf) > 0)
	r.relist()
}

// show puts a branch into the order or takes it out.
func (r *role) show(b *branch, wanted bool) {
	if b.listed == wanted {
		return
	}
	b.listed = wanted
	if wanted {
		r.order = place(r.order, b, compareBranch)
	} else {
		r.order = take(r.order, b, compareBranch)
	}
}

// relist brings the places of a role and those above up to date.
func (r *role) relist() {
	for ; r.parent != nil; r = r.parent {
		wanting := len(r.order) > 0 || len(r.parked) > 0
		full := r.quota != nil && r.quota.full
		r.parent.show(r.as, wanting && !full)
		at := slices.Index(r.parent.parked, r.as)
		switch {
		case wanting && full && at < 0:
			r.parent.parked = append(r.parent.parked, r.as)
		case !(wanting && full) && at >= 0:
			r.parent.parked = slices.Delete(r.parent.parked, at, at+1)
		}
	}
}

// visit calls for every client who wants offers, the most deserving first, until it is told
// to stop. Parked roles come last, and only if asked for.
func (r *role) visit(parked bool, offer func(*client) (stop bool)) (stopped bool) {
	for _, b := range r.order {
		if b.role != nil {
			if b.role.visit(parked, offer) {
				return true
			}
			continue
		}
		for _, c := range b.leaf {
			if offer(c) {
				return true
			}
		}
	}
	if parked {
		for _, b := range r.parked {
			if b.role.visit(parked, offer) {
				return true
			}
		}
	}
	return false
}

// framework is one framework with its clients in the order of their roles.
type framework struct {
	active  bool
	known   bool // it was added; otherwise only agents told of it
	id      frameworkID
	clients []*client
	can     capabilities
	minimum map[string][]quantities // by role; an override of the default
}

func (f *framework) client(path string) *client {
	for _, c := range f.clients {
		if c.role.path == path {
			return c
		}
	}
	return nil
}
