package allocator

import (
	"slices"

	"agora.dev/agora/internal/planted"
)

// part is what a client gets of what is free on an agent: nothing, where a capability, a
// constraint, a filter, quota or the minimum stands against it. With a debt it is the first
// stage's part, which pays it.
func (a *Allocator) part(ag *agent, c *client, debt *role) []portion {
	refusals := ag.filters.of(c)
	if refusals.knows(ag.version) || a.mismatch(ag, c) != "" {
		return nil
	}
	allowed := c.allowed(ag.free)
	part := a.unlent(ag, allowed)
	if len(part) == 0 {
		return nil
	}
	if whole := refusals.covering(part); whole != nil {
		if len(part) == len(allowed) {
			whole.checked = ag.version
		}
		return nil
	}
	part = a.chop(c, part, debt)
	if !worthwhile(part, a.minimumFor(c)) || refusals.covering(part) != nil {
		return nil
	}
	if until, kept := ag.gap(c, a.now); kept {
		a.filters.add(&filter{agent: ag, until: until}, a.now) // to look again
		return nil
	}
	return part
}

// mismatch is what keeps an agent that is in use from a client, whatever it has; empty when nothing does.
func (a *Allocator) mismatch(ag *agent, c *client) Verdict {
	can := c.framework.can
	switch {
	case ag.gpus && !can.gpu && !a.config.OfferGPUsToAll:
		return GPUs
	case ag.oneRole && can.multiRole, ag.flatRoles && c.role.parent.parent != nil:
		return AgentCapability
	case !can.region && !a.local(ag):
		return OtherRegion
	case !c.constraints.admit(ag.info):
		return Constraints
	}
	return ""
}

// unlent leaves out the shared volumes that were offered in this cycle already.
func (a *Allocator) unlent(ag *agent, part []portion) []portion {
	if len(ag.lent) == 0 || ag.lentRun != a.runs {
		return part
	}
	return slices.DeleteFunc(slices.Clone(part), func(p portion) bool { return slices.Contains(ag.lent, p.kind) })
}

// lend remembers the shared volumes of a grant until the cycle is over.
func (a *Allocator) lend(ag *agent, part []portion) {
	if ag.lentRun != a.runs {
		ag.lent, ag.lentRun = ag.lent[:0], a.runs
	}
	for _, p := range part {
		if p.kind.shared {
			ag.lent = append(ag.lent, p.kind)
		}
	}
}

// local says whether an agent is in the master's region, as one without a region is.
func (a *Allocator) local(ag *agent) bool {
	if a.config.Region == "" {
		return true
	}
	region := ag.info.GetDomain().GetFaultDomain().GetRegion().GetName()
	return region == "" || region == a.config.Region
}

// worthLooking says whether what is free on an agent can be worth an offer to anybody.
func (a *Allocator) worthLooking(ag *agent) bool {
	return len(ag.free) > 0 && (a.overridden || worthwhile(ag.free, a.minimum))
}

// allowed is the part of free that a client may have: unreserved or reserved for its role
// or one above it, of kinds that its framework understands.
func (c *client) allowed(free []portion) []portion {
	refused := slices.IndexFunc(free, func(p portion) bool { return !c.mayHave(p.kind) })
	if refused < 0 {
		return free
	}
	part := slices.Clone(free[:refused])
	for _, p := range free[refused:] {
		if c.mayHave(p.kind) {
			part = append(part, p)
		}
	}
	return part
}

func (c *client) mayHave(k *kind) bool {
	can := c.framework.can
	switch {
	case k.role != "" && !within(c.role.path, k.role) && !planted.Active("allocator-any-role"):
		return false
	case k.revocable && !can.revocable, k.shared && !can.shared, k.refined && !can.refinement:
		return false
	}
	return true
}

func (a *Allocator) minimumFor(c *client) []quantities {
	if sets, ok := c.framework.minimum[c.role.path]; ok {
		return sets
	}
	return a.minimum
}

// worthwhile reports whether portions hold at least one of the sets; no set means that
// anything will do.
func worthwhile(portions []portion, sets []quantities) bool {
	if len(sets) == 0 {
		return len(portions) > 0
	}
	return slices.ContainsFunc(sets, func(set quantities) bool { return holds(portions, set) })
}

func holds(portions []portion, set quantities) bool {
	for _, q := range set {
		need := q.amount
		for i := range portions {
			if portions[i].kind.scalar == q.scalar {
				need -= portions[i].amount.scalar
			}
		}
		if need > 0 {
			return false
		}
	}
	return true
}
