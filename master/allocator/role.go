package allocator

import (
	"cmp"
	"math/rand/v2"
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
	leaf   ordered[client]
	listed bool // in the order of the role above
}

// role is a node of the tree. The root has the empty path.
type role struct {
	path   string
	tree   *tree
	parent *role
	as     *branch // its entry among its parent's
	own    *branch // the entry of its own frameworks
	below  map[string]*role
	// order holds the branches that have clients who want offers.
	order ordered[branch]
	// parked are roles that have clients, but whose limit leaves nothing worth an offer.
	parked  []*branch
	clients int // frameworks in it or below it, silent ones too
	quota   *quotaOf
	// quotasBelow counts roles with quota strictly below.
	quotasBelow int
	// reserved and used are what counts as consumed: reservations anywhere, and
	// what is allocated without a reservation. Roles below are included.
	reserved, used []int64
	// allocation is what resources that are offered to the role say of it.
	allocation *mesos.Resource_AllocationInfo
}

// client is a framework in one of its roles.
type client struct {
	rank
	number      uint32 // of its own for ever
	framework   *framework
	role        *role
	suppressed  bool
	listed      bool // in the order: it wants offers
	fresh       bool // it began to want them, or lost filters, since the last cycle
	filters     []*filter
	constraints *constraints
}

// tree is all roles that were ever named.
type tree struct {
	root    *role
	weights map[string]float64
	// drawRoles and drawFrameworks draw instead of keeping an order; heaviest bounds the weights, and
	// is zero while all are equal.
	drawRoles, drawFrameworks bool
	heaviest                  float64
	rng                       *rand.Rand
}

func newTree(config Config, rng *rand.Rand) *tree {
	t := &tree{weights: map[string]float64{}, drawRoles: config.RoleSorter == SortRandom, drawFrameworks: config.FrameworkSorter == SortRandom, rng: rng}
	t.root = t.newRole("", nil)
	return t
}

func (t *tree) newRole(path string, parent *role) *role {
	return &role{path: path, allocation: &mesos.Resource_AllocationInfo{Role: &path}, tree: t, parent: parent, below: map[string]*role{}, own: &branch{rank: rank{name: ".", weight: 1}}}
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
			next = t.newRole(name, node)
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

// list shows or hides a client in the orders, and the roles above it with it.
func (c *client) list(wanted bool) {
	if c.listed == wanted {
		return
	}
	c.listed = wanted
	r := c.role
	if wanted {
		r.tree.placeClient(&r.own.leaf, c)
	} else {
		r.tree.takeClient(&r.own.leaf, c)
	}
	r.show(r.own, r.own.leaf.length > 0)
	r.relist()
}

// show puts a branch into the order or takes it out.
func (r *role) show(b *branch, wanted bool) {
	if b.listed == wanted {
		return
	}
	b.listed = wanted
	if wanted {
		r.tree.placeBranch(&r.order, b)
	} else {
		r.tree.takeBranch(&r.order, b)
	}
}

// relist brings the places of a role and those above up to date.
func (r *role) relist() {
	for ; r.parent != nil; r = r.parent {
		wanting := r.order.length > 0 || len(r.parked) > 0
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
