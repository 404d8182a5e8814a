package allocator

import "slices"

// part is what a client gets of what is free on an agent: nothing, where a capability, a
// constraint, a filter, quota or the minimum stands against it. With a debt it is the first
// stage's part, which pays it.
func (a *Allocator) part(ag *agent, c *client, debt *role) []portion {
	f := c.framework
	refusal := ag.filters[c]
	if refusal != nil && refusal.checked == ag.version {
		return nil
	}
	if ag.gpus && !f.can.gpu && !a.config.OfferGPUsToAll || ag.oneRole && f.can.multiRole || !a.local(ag) && !f.can.region {
		return nil
	}
	if !c.constraints.admit(ag.info) {
		return nil
	}
	part := c.allowed(ag.free)
	if len(part) == 0 {
		return nil
	}
	whole := refusal != nil && containsAll(refusal.refused, part)
	if whole {
		refusal.checked = ag.version
		return nil
	}
	part = a.chop(c, part, debt)
	if !worthwhile(part, a.minimumFor(c)) || refusal != nil && containsAll(refusal.refused, part) {
		return nil
	}
	if ag.last == c && a.now.Sub(ag.lastAt) < reofferGap && ag.lastAt.Before(a.now) {
		a.pause(ag)
		return nil
	}
	return part
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
	case k.role != "" && !within(c.role.path, k.role):
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
	for name, need := range set {
		for i := range portions {
			if portions[i].kind.name == name {
				need -= portions[i].amount.scalar
			}
		}
		if need > 0 {
			return false
		}
	}
	return true
}
