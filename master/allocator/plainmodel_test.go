package allocator_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// plain is the rules of allocation written down without any thought of speed: nothing is kept
// that can be computed from what agents have, what is held there, and the settings.
type plain struct {
	now        time.Time
	weights    map[string]float64
	quotas     map[string]plainQuota
	frameworks map[string]*plainFramework
	agents     map[string]*plainAgent
	served     map[string]int  // how often a node of the tree of roles was given something
	whitelist  map[string]bool // nil: every host
	holdUntil  time.Time
	expected   int
	drawn      bool // both sorters draw
	unshared   bool // shared volumes count as lent
	overridden bool // some framework has had a minimum of its own
}

type plainQuota struct{ guarantee, limit map[string]int64 }

type plainFramework struct {
	active                                           bool
	roles                                            map[string]*plainRole
	revocable, shared, gpu, refinement, many, remote bool
}

// plainRole is a framework in a role.
type plainRole struct {
	suppressed bool
	left       bool               // given up; what is held in it goes on
	minimum    []map[string]int64 // nil: the default
	rack       string             // a constraint: attribute rack, if not empty
}

type plainClient struct{ framework, role string }

type plainAgent struct {
	active        bool
	host, rack    string
	remote        bool // in another region
	oneRole, flat bool // without MULTI_ROLE, HIERARCHICAL_ROLE
	total         resources.Resources
	held          map[plainClient]resources.Resources
	filters       []plainFilter
	turns         map[plainClient]time.Time // when a client was served last
	lent          resources.Resources       // shared volumes that were offered in this step
	asked         bool                      // in the first stage of this step
}

type plainFilter struct {
	client  plainClient
	refused resources.Resources
	end     time.Time
}

func newPlain() *plain {
	return &plain{weights: map[string]float64{}, quotas: map[string]plainQuota{}, frameworks: map[string]*plainFramework{},
		agents: map[string]*plainAgent{}, served: map[string]int{}}
}

func below(role, above string) bool { return role == above || strings.HasPrefix(role, above+"/") }

// aboves lists a role and those above it.
func aboves(role string) (list []string) {
	for {
		list = append(list, role)
		cut := strings.LastIndexByte(role, '/')
		if cut < 0 {
			return list
		}
		role = role[:cut]
	}
}

// counted is the part of resources that quota and headroom are about.
func counted(r resources.Resources) resources.Resources {
	return r.Unreserved().NonRevocable().Scalars()
}

func (a *plainAgent) free() resources.Resources {
	free := a.total
	for _, held := range a.held {
		free, _ = free.Sub(held.NonShared())
	}
	return free
}

// leaf is a client's node in the tree of roles: "a/b/./framework".
func (c plainClient) leaf() string { return c.role + "/./" + c.framework }

// share is the dominant share of a node, by its weight.
func (p *plain) share(node string) float64 {
	total, held := map[string]int64{}, map[string]int64{}
	for _, a := range p.agents {
		for _, q := range a.total.Quantities() {
			total[q.Name] += q.Milli
		}
		for c, r := range a.held {
			if below(c.leaf(), node) {
				for _, q := range r.NonShared().Quantities() {
					held[q.Name] += q.Milli
				}
			}
		}
	}
	share := 0.0
	for name, n := range held {
		if total[name] > 0 {
			share = max(share, float64(n)/float64(total[name]))
		}
	}
	return share / cmp.Or(p.weights[node], 1)
}

// wanting are the clients that want offers.
func (p *plain) wanting() (list []plainClient) {
	for id, f := range p.frameworks {
		for role, r := range f.roles {
			if f.active && !r.suppressed {
				list = append(list, plainClient{id, role})
			}
		}
	}
	return list
}

// order sorts clients as a walk down the tree from prefix finds them: at each level the smallest share
// first, then who was served less often, then by name; roles whose limit is used up come last, or not at all.
func (p *plain) order(clients []plainClient, prefix string, withFull bool) (sorted []plainClient) {
	groups := map[string][]plainClient{}
	for _, c := range clients {
		step, _, _ := strings.Cut(strings.TrimPrefix(c.leaf(), prefix), "/")
		groups[prefix+step] = append(groups[prefix+step], c)
	}
	rank := map[string]float64{}
	for node := range groups {
		rank[node] = p.share(node)
	}
	nodes := slices.SortedFunc(maps.Keys(groups), func(x, y string) int {
		return cmp.Or(cmpBool(p.full(x), p.full(y)), cmp.Compare(rank[x], rank[y]), cmp.Compare(p.served[x], p.served[y]), cmp.Compare(x, y))
	})
	for _, node := range nodes {
		switch {
		case p.full(node) && !withFull:
		case len(groups[node]) == 1 && groups[node][0].leaf() == node:
			sorted = append(sorted, groups[node][0])
		default:
			sorted = append(sorted, p.order(groups[node], node+"/", withFull)...)
		}
	}
	return sorted
}

func cmpBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// defaultMinimum is what is worth an offer.
var defaultMinimum = []map[string]int64{{"cpus": 10}, {"mem": 32000}}

// part is what a client gets of an agent now: in the first stage only if it pays off a guarantee.
func (p *plain) part(a *plainAgent, c plainClient, first bool) resources.Resources {
	f, nothing := p.frameworks[c.framework], resources.Resources{}
	r := f.roles[c.role]
	switch {
	case !a.active || p.whitelist != nil && !p.whitelist[a.host]:
		return nothing
	case a.total.Scalar("gpus") > 0 && !f.gpu, a.oneRole && f.many, a.flat && strings.Contains(c.role, "/"), a.remote && !f.remote:
		return nothing
	case r.rack != "" && r.rack != a.rack:
		return nothing
	}
	part := a.free().AllocatableTo(c.role)
	if part, _ = part.Sub(a.lent); !f.shared || p.unshared {
		part = part.NonShared()
	}
	if !f.revocable {
		part = part.NonRevocable()
	}
	if !f.refinement {
		part = part.NonRefined()
	}
	if len(p.quotas) > 0 {
		pays := false
		chopped := counted(part).Scale(func(name string, milli int64) int64 {
			all, owed := p.allowance(c, name, first)
			pays = pays || owed > 0
			return min(milli, all)
		})
		if first && !pays {
			return nothing
		}
		rest, _ := part.Sub(counted(part))
		part = rest.Add(chopped)
	}
	if !worth(part, r.minimum) || a.filtered(c, part) {
		return nothing
	}
	if served, ok := a.turns[c]; ok && served.Before(p.now) && p.now.Sub(served) < 50*time.Millisecond {
		return nothing
	}
	return part
}

func worth(part resources.Resources, minimum []map[string]int64) bool {
	if minimum == nil {
		minimum = defaultMinimum
	}
	if len(minimum) == 0 {
		return !part.IsEmpty()
	}
	return slices.ContainsFunc(minimum, func(set map[string]int64) bool {
		for name, need := range set {
			if part.Scalar(name) < need {
				return false
			}
		}
		return true
	})
}

func (a *plainAgent) filtered(c plainClient, part resources.Resources) bool {
	return slices.ContainsFunc(a.filters, func(f plainFilter) bool { return f.client == c && f.refused.Contains(part) })
}

// give books a grant.
func (p *plain) give(a *plainAgent, c plainClient, part resources.Resources) {
	a.held[c] = a.held[c].Add(part)
	a.turns[c] = p.now
	a.lent = a.lent.Add(part.Shared())
	p.serve(c)
}

func (p *plain) serve(c plainClient) {
	p.served[c.leaf()]++
	p.served[c.role+"/."]++
	for _, role := range aboves(c.role) {
		p.served[role]++
	}
}

// check holds the offers of a step, in their order, to the rules: each is what its agent has for who
// deserves it most, and when they are made nobody wants what is left.
func (p *plain) check(offers []core.AllocatorOffer) error {
	for _, a := range p.agents {
		a.lent, a.asked = resources.Resources{}, false
	}
	if len(p.agents) >= p.expected || !p.now.Before(p.holdUntil) {
		p.holdUntil = time.Time{}
	}
	if !p.holdUntil.IsZero() {
		if len(offers) > 0 {
			return fmt.Errorf("%d offers during the pause after an election", len(offers))
		}
		return nil
	}
	for _, first := range []bool{true, false} {
		for len(offers) > 0 {
			a := p.agents[string(offers[0].Agent)]
			if a == nil {
				return fmt.Errorf("offer of unknown agent %s", offers[0].Agent)
			}
			n, err := p.visit(a, offers, first)
			if err != nil {
				return err
			}
			if n == 0 && first {
				break
			}
			if n == 0 {
				return fmt.Errorf("offer to %s in %s of agent %s: by the rules nobody gets anything there", offers[0].Framework, offers[0].Role, offers[0].Agent)
			}
			offers = offers[n:]
		}
	}
	return p.leftovers()
}

// visit compares what an agent gives, in one stage, with the first of the offers.
func (p *plain) visit(a *plainAgent, offers []core.AllocatorOffer, first bool) (n int, err error) {
	if first && (a.asked || len(p.quotas) == 0) {
		return 0, nil
	}
	if p.drawn {
		return p.visitDrawn(a, offers, first)
	}
	a.asked = first
	grant := func(c plainClient) bool {
		part := p.part(a, c, first)
		if part.IsEmpty() {
			return true
		}
		if n < len(offers) && p.agents[string(offers[n].Agent)] == a && same(offers[n], c, part) {
			p.give(a, c, part)
			n++
			return true
		}
		if p.without(func() bool { return p.part(a, c, first).IsEmpty() }) { // see leftovers
			return true
		}
		err = fmt.Errorf("stage one %t: %s in %s gets %s, and is not offered it next", first, c.framework, c.role, part)
		return false
	}
	if !first {
		for _, c := range p.order(p.wanting(), "", true) {
			if !grant(c) {
				break
			}
		}
		return n, err
	}
	for _, role := range p.debts() {
		for _, c := range p.order(p.in(role), role+"/", false) {
			if p.satisfied(role) || !grant(c) {
				break
			}
		}
	}
	return n, err
}

// same says whether an offer gives a client a part.
func same(o core.AllocatorOffer, c plainClient, part resources.Resources) bool {
	got, err := resources.FromProto(o.Resources)
	return err == nil && string(o.Framework) == c.framework && o.Role == c.role && got.Unallocated().Equal(part)
}

// visitDrawn accepts any client for the next offer, if it gets what the rules say.
func (p *plain) visitDrawn(a *plainAgent, offers []core.AllocatorOffer, first bool) (int, error) {
	o := offers[0]
	c := plainClient{string(o.Framework), o.Role}
	if first && !slices.ContainsFunc(p.debts(), func(role string) bool { return below(c.role, role) }) {
		return 0, nil
	}
	part := p.part(a, c, first)
	if part.IsEmpty() || !same(o, c, part) {
		if first {
			return 0, nil
		}
		return 0, fmt.Errorf("%s in %s gets %s of %s, and is offered %s", c.framework, c.role, part, o.Agent, describeOffer(o))
	}
	p.give(a, c, part)
	return 1, nil
}

// leftovers finds something that is free and that somebody should have got. Shared volumes may wait for the next
// sweep: they were offered to somebody else.
func (p *plain) leftovers() (err error) {
	p.without(func() bool { err = p.unserved(); return err == nil })
	return err
}

// without asks a question as if all shared volumes were lent.
func (p *plain) without(question func() bool) bool {
	p.unshared = true
	defer func() { p.unshared = false }()
	return question()
}

func (p *plain) unserved() error {
	for id, a := range p.agents {
		for _, c := range p.wanting() {
			if part := p.part(a, c, false); !part.IsEmpty() {
				return fmt.Errorf("%s of %s is left free, and %s in %s should have it", part, id, c.framework, c.role)
			}
			for _, role := range p.debts() {
				if below(c.role, role) && !a.asked {
					if part := p.part(a, c, true); !part.IsEmpty() {
						return fmt.Errorf("%s of %s is left free, and is owed to %s in %s", part, id, c.framework, c.role)
					}
				}
			}
		}
	}
	return nil
}

func describeOffer(o core.AllocatorOffer) string {
	got, err := resources.FromProto(o.Resources)
	if err != nil {
		return err.Error()
	}
	return got.String()
}
