package allocator

import (
	"slices"
)

// Names of sorters, as --role_sorter and --framework_sorter take them.
const (
	// SortDRF serves the smallest dominant share first.
	SortDRF = "drf"
	// SortRandom draws, by weight, anew for each agent.
	SortRandom = "random"
)

func compareBranch(x, y *branch) int { return x.before(&y.rank) }
func compareClient(x, y *client) int { return x.before(&y.rank) }

// Branches and clients are kept in order, or in any order where they are drawn from.

func (t *tree) placeBranch(order *ordered[branch], b *branch) {
	if t.drawRoles {
		order.append(b)
	} else {
		order.insert(b, compareBranch)
	}
}

func (t *tree) takeBranch(order *ordered[branch], b *branch) {
	if t.drawRoles {
		order.drop(b)
	} else {
		order.remove(b, compareBranch)
	}
}

func (t *tree) placeClient(order *ordered[client], c *client) {
	if t.drawFrameworks {
		order.append(c)
	} else {
		order.insert(c, compareClient)
	}
}

func (t *tree) takeClient(order *ordered[client], c *client) {
	if t.drawFrameworks {
		order.drop(c)
	} else {
		order.remove(c, compareClient)
	}
}

// drop takes an entry out of a list without order.
func drop[T any](list []*T, one *T) []*T {
	i, last := slices.Index(list, one), len(list)-1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}

// visit goes through a list until it is told to stop.
func visit[T any](list []*T, one func(*T) (stop bool)) (stopped bool) {
	return slices.ContainsFunc(list, one)
}

// tries is how often a draw by weight is repeated before the weights are summed up.
const tries = 16

// draw visits a list in an order that is drawn by weight, as far as it is asked for, and leaves the
// list in that order.
func draw[T any](t *tree, list []*T, weight func(*T) float64, visit func(*T) (stop bool)) (stopped bool) {
	for i := range list {
		j := i + pick(t, list[i:], weight)
		list[i], list[j] = list[j], list[i]
		if visit(list[i]) {
			return true
		}
	}
	return false
}

// pick draws one entry: any, and again while its weight falls short of a lot.
func pick[T any](t *tree, list []*T, weight func(*T) float64) int {
	if t.heaviest == 0 || len(list) == 1 {
		return t.rng.IntN(len(list))
	}
	for range tries {
		if j := t.rng.IntN(len(list)); t.rng.Float64()*t.heaviest < weight(list[j]) {
			return j
		}
	}
	sum := 0.0
	for _, one := range list {
		sum += weight(one)
	}
	lot := t.rng.Float64() * sum
	for j, one := range list {
		if lot -= weight(one); lot < 0 {
			return j
		}
	}
	return len(list) - 1
}

func branchWeight(b *branch) float64 { return b.weight }
func clientWeight(c *client) float64 { return c.weight }

// visit calls for every client who wants offers, the most deserving first, until it is told
// to stop. Parked roles come last, and only if asked for.
func (r *role) visit(parked bool, offer func(*client) (stop bool)) (stopped bool) {
	step := func(b *branch) bool {
		if b.role != nil {
			return b.role.visit(parked, offer)
		}
		if r.tree.drawFrameworks {
			return draw(r.tree, b.leaf.flat(), clientWeight, offer)
		}
		return b.leaf.visit(offer)
	}
	if r.tree.drawRoles {
		return draw(r.tree, r.order.flat(), branchWeight, step) || parked && draw(r.tree, r.parked, branchWeight, step)
	}
	if r.order.visit(step) {
		return true
	}
	if !parked {
		return false
	}
	slices.SortFunc(r.parked, compareBranch)
	return visit(r.parked, step)
}

// compareRole orders roles: where their ways part, the ranks there decide; a role comes after those
// below it.
func compareRole(x, y *role) int {
	if x.parent == y.parent {
		return x.as.before(&y.as.rank)
	}
	up, down := x.way(), y.way()
	for i := range min(len(up), len(down)) {
		if up[i] != down[i] {
			return up[i].as.before(&down[i].as.rank)
		}
	}
	return len(down) - len(up)
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

// sortFew puts some clients into the order in which a visit from a role on would find them.
func (r *role) sortFew(clients []*client) []*client {
	if len(clients) < 2 {
		return clients
	}
	var branches []*branch
	groups := map[*branch][]*client{}
	for _, c := range clients {
		b := r.toward(c.role)
		if groups[b] == nil {
			branches = append(branches, b)
		}
		groups[b] = append(groups[b], c)
	}
	sorted := make([]*client, 0, len(clients))
	take := func(b *branch) bool {
		switch {
		case b.role != nil:
			sorted = append(sorted, b.role.sortFew(groups[b])...)
		case r.tree.drawFrameworks:
			draw(r.tree, groups[b], clientWeight, func(c *client) bool { sorted = append(sorted, c); return false })
		default:
			slices.SortFunc(groups[b], compareClient)
			sorted = append(sorted, groups[b]...)
		}
		return false
	}
	if r.tree.drawRoles {
		draw(r.tree, branches, branchWeight, take)
		return sorted
	}
	slices.SortFunc(branches, compareBranch)
	visit(branches, take)
	return sorted
}

// toward is the branch of r that leads to a role below it, or to its own frameworks.
func (r *role) toward(to *role) *branch {
	if to == r {
		return r.own
	}
	for to.parent != r {
		to = to.parent
	}
	return to.as
}
