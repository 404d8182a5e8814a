package allocator

import (
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
)

type frameworkID = core.FrameworkID

// capabilities are those that decide what a framework may be offered.
type capabilities struct{ revocable, shared, gpu, refinement, multiRole, region bool }

func capabilitiesOf(info *mesos.FrameworkInfo) (can capabilities) {
	for _, c := range info.GetCapabilities() {
		switch c.GetType() {
		case mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES:
			can.revocable = true
		case mesos.FrameworkInfo_Capability_SHARED_RESOURCES:
			can.shared = true
		case mesos.FrameworkInfo_Capability_GPU_RESOURCES:
			can.gpu = true
		case mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT:
			can.refinement = true
		case mesos.FrameworkInfo_Capability_MULTI_ROLE:
			can.multiRole = true
		case mesos.FrameworkInfo_Capability_REGION_AWARE:
			can.region = true
		}
	}
	return can
}

// framework finds a framework; one that is heard of for the first time is inactive.
func (a *Allocator) framework(id frameworkID) *framework {
	f := a.frameworks[id]
	if f == nil {
		f = &framework{id: id}
		a.frameworks[id] = f
	}
	return f
}

// client finds a framework's share in a role, made if need be.
func (a *Allocator) client(f *framework, path string) *client {
	if c := f.client(path); c != nil {
		return c
	}
	a.lastClient++
	c := &client{rank: rank{name: string(f.id), weight: 1}, number: a.lastClient, framework: f, role: a.tree.find(path), suppressed: true}
	a.clients++
	for r := c.role; r != nil; r = r.parent {
		r.clients++
	}
	f.clients = append(f.clients, c)
	return c
}

func (a *Allocator) setFramework(id frameworkID, info *mesos.FrameworkInfo, suppressed []string, limits *scheduler.OfferConstraints) {
	f := a.framework(id)
	f.known = true
	if can := capabilitiesOf(info); can != f.can {
		f.can = can
		for _, c := range f.clients {
			for _, refusal := range c.filters {
				refusal.checked = 0 // it may have more of an agent now
			}
		}
	}
	f.minimum = a.minimumOf(info)
	roles := info.GetRoles()
	if len(roles) == 0 {
		roles = []string{info.GetRole()}
	}
	for _, c := range f.clients {
		if !slices.Contains(roles, c.role.path) {
			c.suppressed = true // tasks in a role that was given up go on
			a.forget(f, []string{c.role.path})
		}
	}
	for _, path := range roles {
		c := a.client(f, path)
		silent := slices.Contains(suppressed, path)
		lifted := c.suppressed && !silent
		c.suppressed = silent
		c.constraints = compileConstraints(limits.GetRoleConstraints()[path])
		if lifted {
			a.forget(f, []string{path})
		}
		a.refresh(c)
	}
}

// refresh shows or hides a client; one that wants offers is asked about every agent in the
// next cycle.
func (a *Allocator) refresh(c *client) {
	wanted := c.framework.active && !c.suppressed
	c.list(wanted)
	if wanted && !c.fresh {
		c.fresh = true
		a.fresh = append(a.fresh, c)
	}
}

func (a *Allocator) activateFramework(id frameworkID, active bool) {
	f := a.framework(id)
	f.active = active
	for _, c := range f.clients {
		a.refresh(c)
	}
}

func (a *Allocator) minimumOf(info *mesos.FrameworkInfo) map[string][]quantities {
	overrides := map[string][]quantities{}
	for role, filters := range info.GetOfferFilters() {
		if filters.GetMinAllocatableResources() == nil {
			continue
		}
		sets := []quantities{}
		for _, q := range filters.GetMinAllocatableResources().GetQuantities() {
			sets = append(sets, a.quantitiesOf(q.GetQuantities()))
		}
		overrides[role] = sets
	}
	if len(overrides) > 0 && !a.overridden {
		a.overridden = true
		for _, r := range a.limited {
			a.checkFull(r)
		}
	}
	return overrides
}

// removeFramework forgets a framework; what it held is free again.
func (a *Allocator) removeFramework(id frameworkID) {
	f := a.frameworks[id]
	if f == nil {
		return
	}
	delete(a.frameworks, id)
	f.active = false
	a.forget(f, nil)
	for _, ag := range a.order {
		if ag == nil {
			continue
		}
		for _, c := range f.clients {
			if held := ag.heldBy(c); len(held) > 0 {
				ag.setHeld(c, nil)
				a.account(c, held, -1)
				a.setFree(ag, add(slices.Clone(ag.free), unshared(held)))
				a.touch(ag)
			}
		}
	}
	for _, c := range f.clients {
		a.clients--
		a.tree.leave(c)
	}
}

// leave forgets roles that have no clients, reservations, allocations or quota any more.
func (t *tree) leave(c *client) {
	for r := c.role; r != nil; r = r.parent {
		if r.clients--; r.clients == 0 && r.as != nil {
			r.as.served, r.own.served = 0, 0
		}
	}
	for r := c.role; r.parent != nil && r.clients == 0 && len(r.below) == 0 && r.quota == nil && len(r.reserved) == 0; r = r.parent {
		delete(r.parent.below, r.as.name)
	}
}

// suppress stops or starts offers for roles; none means all of the framework's.
func (a *Allocator) suppress(id frameworkID, roles []string, silent bool) {
	for _, c := range a.framework(id).clients {
		if len(roles) == 0 || slices.Contains(roles, c.role.path) {
			c.suppressed = silent
			a.refresh(c)
		}
	}
}

func (a *Allocator) setWeights(weights map[string]float64) {
	for path, weight := range weights {
		a.tree.weights[path] = weight
		a.tree.heaviest = max(a.tree.heaviest, weight, 1)
	}
	a.stale = true
	a.lookAtAll()
}
