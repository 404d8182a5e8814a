package allocator

import (
	"maps"
	"slices"
	"strings"
)

// Figures are what metrics say of an allocator at one moment.
type Figures struct {
	// Roles are those with frameworks, a weight or quota, sorted by name.
	Roles []RoleFigures
	// Consumed is what counts against quota, of each role that consumes anything; the root's path is empty.
	Consumed map[string]map[string]float64
	// Total is what all agents have, Taken what of it is offered or allocated; by scalar name.
	Total, Taken map[string]float64
}

// RoleFigures are those of one role.
type RoleFigures struct {
	Role string
	// Share is the dominant share, by weight, of the role and those below it.
	Share float64
	// Filters counts refusals of frameworks in the role that are in force.
	Filters int
	// Frameworks says whether the role itself has frameworks.
	Frameworks bool
	// Guarantee, Limit and Taken are of the resources that the role's quota names; Taken counts what of
	// them is offered or allocated, reserved or not.
	Guarantee, Limit, Taken map[string]float64
}

// Figures computes the figures; the cost grows with roles and frameworks, not with agents.
func (a *Allocator) Figures() Figures {
	f := Figures{Total: map[string]float64{}, Taken: map[string]float64{}, Consumed: map[string]map[string]float64{}}
	a.consumption(a.tree.root, f.Consumed)
	for i, name := range a.kinds.names {
		f.Total[name] = float64(at(a.total, i)) / 1000
		taken := int64(0)
		for _, below := range a.tree.root.below {
			taken += at(below.as.held, i)
		}
		f.Taken[name] = float64(taken) / 1000
	}
	if a.stale {
		a.rerank()
	}
	own := map[*role]*RoleFigures{}
	for _, framework := range a.frameworks {
		for _, c := range framework.clients {
			if own[c.role] == nil {
				own[c.role] = &RoleFigures{Role: c.role.path, Share: c.role.as.share, Frameworks: true}
			}
			own[c.role].Filters += len(c.filters)
		}
	}
	for path := range a.tree.weights {
		if r := a.tree.find(path); own[r] == nil {
			own[r] = &RoleFigures{Role: path, Share: r.as.share}
		}
	}
	for _, r := range a.limited {
		if own[r] == nil {
			own[r] = &RoleFigures{Role: r.path, Share: r.as.share}
		}
		a.quotaFigures(r, own[r])
	}
	for _, figures := range own {
		f.Roles = append(f.Roles, *figures)
	}
	slices.SortFunc(f.Roles, func(x, y RoleFigures) int { return strings.Compare(x.Role, y.Role) })
	return f
}

func (a *Allocator) quotaFigures(r *role, f *RoleFigures) {
	f.Guarantee, f.Limit, f.Taken = map[string]float64{}, map[string]float64{}, map[string]float64{}
	for i, name := range a.kinds.names {
		if n := at(r.quota.guarantee, i); n > 0 {
			f.Guarantee[name] = float64(n) / 1000
		}
		if i < len(r.quota.limit) && r.quota.limit[i] >= 0 {
			f.Limit[name] = float64(r.quota.limit[i]) / 1000
		}
	}
	named := maps.Clone(f.Guarantee)
	maps.Copy(named, f.Limit)
	for name := range named {
		f.Taken[name] = float64(at(r.as.held, a.kinds.index(name))) / 1000
	}
}

// consumption collects what a role and those below it consume.
func (a *Allocator) consumption(r *role, out map[string]map[string]float64) {
	for i, name := range a.kinds.names {
		if n := r.consumed(i); n > 0 {
			if out[r.path] == nil {
				out[r.path] = map[string]float64{}
			}
			out[r.path][name] = float64(n) / 1000
		}
	}
	for _, below := range r.below {
		a.consumption(below, out)
	}
}
