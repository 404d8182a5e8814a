package allocator_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// plainWorld makes random commands and tells the plain rules of them.
type plainWorld struct {
	*plain
	rng     *rand.Rand
	quotaOn bool
	offers  []core.AllocatorOffer // outstanding
}

var plainRoles = []string{"*", "a", "a/b", "a/b/c", "a/d", "e", "e/f"}

// totals are what agents may have.
var plainTotals = []string{
	"cpus:4;mem:1024;ports:[1-9]", "cpus:8;mem:512", "cpus:2;mem:256;cpus(a):2;mem(a):128", "cpus:1;mem:64;cpus(a/b):3;mem(e):300;disk:100",
	"cpus:6;mem:2048;gpus:2", "cpus:0.005;mem:8",
}

func pickOf[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

// wire reads text, with what is called rev as revocable.
func wire(text string) resources.Resources {
	r, err := resources.Parse(text, "*")
	if err != nil {
		panic(err) // the texts are constants
	}
	return r
}

// command is one random command; nil when the one that was drawn makes no sense now.
func (w *plainWorld) command() core.AllocatorEvent {
	id := fmt.Sprintf("f%d", w.rng.IntN(5))
	agent := fmt.Sprintf("x%d", w.rng.IntN(5))
	f, a := w.frameworks[id], w.agents[agent]
	switch w.rng.IntN(24) {
	case 0, 1, 2:
		return w.setFramework(id)
	case 3, 4, 5:
		return w.addAgent(agent)
	case 6:
		return w.updateAgent(agent, a)
	case 7:
		delete(w.agents, agent)
		w.offers = slices.DeleteFunc(w.offers, func(o core.AllocatorOffer) bool { return string(o.Agent) == agent })
		return core.AllocatorRemoveAgent{ID: core.AgentID(agent)}
	case 8:
		if a == nil {
			return nil
		}
		if a.active = !a.active; a.active {
			return core.AllocatorActivateAgent{ID: core.AgentID(agent)}
		}
		return core.AllocatorDeactivateAgent{ID: core.AgentID(agent)}
	case 9:
		return w.setWeights()
	case 10, 11:
		return w.setQuotas()
	case 12:
		return w.setWhitelist()
	case 13:
		return w.convert()
	}
	if f == nil || w.rng.IntN(3) > 0 {
		return w.giveBack()
	}
	return w.changeFramework(id, f)
}

func (w *plainWorld) changeFramework(id string, f *plainFramework) core.AllocatorEvent {
	name := core.FrameworkID(id)
	mine := slices.DeleteFunc(slices.Sorted(maps.Keys(f.roles)), func(role string) bool { return f.roles[role].left })
	switch w.rng.IntN(6) {
	case 0:
		w.removeFramework(id)
		return core.AllocatorRemoveFramework{ID: name}
	case 1:
		f.active = false
		w.forget(id, "")
		return core.AllocatorDeactivateFramework{ID: name}
	case 2:
		f.active = true
		return core.AllocatorActivateFramework{ID: name}
	case 3:
		var roles []string
		for _, role := range mine {
			if w.rng.IntN(2) == 0 {
				roles = append(roles, role)
			}
		}
		for role, r := range f.roles {
			r.suppressed = r.suppressed || len(roles) == 0 || slices.Contains(roles, role)
		}
		return core.AllocatorSuppress{ID: name, Roles: roles}
	}
	role := pickOf(w.rng, mine...)
	f.roles[role].suppressed = false
	w.forget(id, role)
	return core.AllocatorRevive{ID: name, Roles: []string{role}}
}

// forget drops a framework's filters, in one role or in all.
func (p *plain) forget(id, role string) {
	for _, a := range p.agents {
		a.filters = slices.DeleteFunc(a.filters, func(f plainFilter) bool {
			return f.client.framework == id && (role == "" || f.client.role == role)
		})
	}
}

// setFramework adds a framework, or changes its roles and capabilities.
func (w *plainWorld) setFramework(id string) core.AllocatorEvent {
	f := w.frameworks[id]
	if f == nil {
		f = &plainFramework{roles: map[string]*plainRole{}}
		w.frameworks[id] = f
	}
	some := func() bool { return w.rng.IntN(3) > 0 }
	f.active, f.revocable, f.shared, f.gpu, f.refinement, f.many, f.remote = true, some(), some(), some(), some(), some(), some()
	info := &mesos.FrameworkInfo{OfferFilters: map[string]*mesos.OfferFilters{}}
	for capability, has := range map[mesos.FrameworkInfo_Capability_Type]bool{
		mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES: f.revocable, mesos.FrameworkInfo_Capability_SHARED_RESOURCES: f.shared,
		mesos.FrameworkInfo_Capability_GPU_RESOURCES: f.gpu, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT: f.refinement,
		mesos.FrameworkInfo_Capability_MULTI_ROLE: f.many, mesos.FrameworkInfo_Capability_REGION_AWARE: f.remote} {
		if has {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: capability.Enum()})
		}
	}
	for range 1 + w.rng.IntN(2) {
		if role := pickOf(w.rng, plainRoles...); !slices.Contains(info.Roles, role) {
			info.Roles = append(info.Roles, role)
		}
	}
	add := core.AllocatorAddFramework{ID: core.FrameworkID(id), Info: info, Active: true,
		Constraints: &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{}}}
	for role, r := range f.roles {
		if !slices.Contains(info.Roles, role) {
			r.suppressed, r.left = true, true
			w.forget(id, role)
		}
	}
	for _, role := range info.Roles {
		w.setRole(id, f, role, &add)
	}
	return add
}

func (w *plainWorld) setRole(id string, f *plainFramework, role string, add *core.AllocatorAddFramework) {
	was, r := f.roles[role], &plainRole{suppressed: w.rng.IntN(5) == 0}
	f.roles[role] = r
	if r.suppressed {
		add.Suppressed = append(add.Suppressed, role)
	} else if was == nil || was.suppressed {
		w.forget(id, role)
	}
	switch w.rng.IntN(30) {
	case 0:
		r.minimum, w.overridden = []map[string]int64{}, true
		add.Info.OfferFilters[role] = &mesos.OfferFilters{MinAllocatableResources: &mesos.OfferFilters_MinAllocatableResources{}}
	case 1:
		r.minimum, w.overridden = []map[string]int64{{"cpus": 2000, "mem": 100000}, {"gpus": 1000}}, true
		add.Info.OfferFilters[role] = &mesos.OfferFilters{MinAllocatableResources: &mesos.OfferFilters_MinAllocatableResources{
			Quantities: []*mesos.OfferFilters_ResourceQuantities{{Quantities: amounts(map[string]float64{"cpus": 2, "mem": 100})},
				{Quantities: amounts(map[string]float64{"gpus": 1})}}}}
	case 2, 3, 4:
		r.rack = pickOf(w.rng, "r1", "r2")
		add.Constraints.RoleConstraints[role] = onRack(r.rack)
	}
}

// onRack demands that the attribute rack has a value.
func onRack(rack string) *scheduler.OfferConstraints_RoleConstraints {
	return &scheduler.OfferConstraints_RoleConstraints{Groups: []*scheduler.OfferConstraints_RoleConstraints_Group{{
		AttributeConstraints: []*scheduler.AttributeConstraint{{
			Selector: &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: "rack"}},
			Predicate: &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_TextEquals_{
				TextEquals: &scheduler.AttributeConstraint_Predicate_TextEquals{Value: &rack}}}}}}}}
}

func (w *plainWorld) removeFramework(id string) {
	delete(w.frameworks, id)
	w.forget(id, "")
	for _, a := range w.agents {
		maps.DeleteFunc(a.turns, func(c plainClient, _ time.Time) bool { return c.framework == id })
		maps.DeleteFunc(a.held, func(c plainClient, _ resources.Resources) bool { return c.framework == id })
	}
	w.offers = slices.DeleteFunc(w.offers, func(o core.AllocatorOffer) bool { return string(o.Framework) == id })
	for node := range w.served { // what is not below a framework's role any more is forgotten
		role, _, leaf := strings.Cut(node, "/.")
		kept := slices.ContainsFunc(slices.Collect(maps.Keys(w.frameworks)), func(other string) bool {
			if leaf && strings.Contains(node, "/./") {
				return strings.HasSuffix(node, "/./"+other)
			}
			return slices.ContainsFunc(slices.Collect(maps.Keys(w.frameworks[other].roles)), func(r string) bool { return below(r, role) })
		})
		if !kept {
			delete(w.served, node)
		}
	}
}

func (w *plainWorld) addAgent(id string) core.AllocatorEvent {
	w.offers = slices.DeleteFunc(w.offers, func(o core.AllocatorOffer) bool { return string(o.Agent) == id })
	a := &plainAgent{active: w.rng.IntN(6) > 0, host: "h" + id[1:], rack: pickOf(w.rng, "r1", "r2"), remote: w.rng.IntN(5) == 0,
		total: wire(pickOf(w.rng, plainTotals...)), held: map[plainClient]resources.Resources{}, turns: map[plainClient]time.Time{}}
	a.oneRole, a.flat = w.rng.IntN(9) == 0, w.rng.IntN(9) == 0
	if w.rng.IntN(4) == 0 {
		a.total = a.total.Add(special(w.rng.IntN(3), w.rng.IntN(3)))
	}
	w.agents[id] = a
	add := core.AllocatorAddAgent{ID: core.AgentID(id), Active: a.active, Info: a.info(), Total: a.total.Proto(), Capabilities: a.capabilities(),
		Used: map[core.FrameworkID][]*mesos.Resource{}}
	if owners := slices.Sorted(maps.Keys(w.frameworks)); len(owners) > 0 && w.rng.IntN(2) == 0 {
		owner := pickOf(w.rng, owners...)
		c := plainClient{owner, pickOf(w.rng, slices.Sorted(maps.Keys(w.frameworks[owner].roles))...)}
		used := wire("cpus:0.5;mem:8")
		if rest, ok := a.total.Sub(used); ok && !rest.IsEmpty() {
			a.held[c] = used
			w.serve(c)
			add.Used[core.FrameworkID(owner)] = used.Allocate(c.role).Proto()
		}
	}
	return add
}

// Kinds of special resources.
const (
	revocable = iota
	refined
	sharedVolume
)

// special is something else than plain resources; volumes have ids.
func special(kind, volume int) resources.Resources {
	scalar, name, id, static, dynamic := mesos.Value_SCALAR, "cpus", fmt.Sprint(volume), mesos.Resource_ReservationInfo_STATIC, mesos.Resource_ReservationInfo_DYNAMIC
	a, b, three := "a", "a/b", 3.0
	r := &mesos.Resource{Name: &name, Type: &scalar, Scalar: &mesos.Value_Scalar{Value: &three}}
	switch kind {
	case revocable:
		r.Revocable = &mesos.Resource_RevocableInfo{}
	case refined:
		r.Reservations = []*mesos.Resource_ReservationInfo{{Type: &static, Role: &a}, {Type: &dynamic, Role: &b}}
	default:
		disk, path := "disk", "v"
		mode := mesos.Volume_RW
		r.Name, r.Shared = &disk, &mesos.Resource_SharedInfo{}
		r.Reservations = []*mesos.Resource_ReservationInfo{{Type: &dynamic, Role: &a}}
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id}, Volume: &mesos.Volume{ContainerPath: &path, Mode: &mode}}
	}
	made, err := resources.FromProto([]*mesos.Resource{r})
	if err != nil {
		panic(err)
	}
	return made
}

func (a *plainAgent) info() *mesos.AgentInfo {
	name, rack, host, region := "rack", a.rack, a.host, pickRegion(a.remote)
	return &mesos.AgentInfo{Hostname: &host, Attributes: []*mesos.Attribute{{Name: &name, Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &rack}}},
		Domain: &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: &region}}}}
}

func pickRegion(remote bool) string {
	if remote {
		return "far"
	}
	return "near"
}

func (a *plainAgent) capabilities() (list []*mesos.AgentInfo_Capability) {
	for capability, lacks := range map[mesos.AgentInfo_Capability_Type]bool{mesos.AgentInfo_Capability_MULTI_ROLE: a.oneRole,
		mesos.AgentInfo_Capability_HIERARCHICAL_ROLE: a.flat, mesos.AgentInfo_Capability_AGENT_DRAINING: false} {
		if !lacks {
			list = append(list, &mesos.AgentInfo_Capability{Type: capability.Enum()})
		}
	}
	return list
}

// updateAgent lets an agent grow, and may move it to another rack.
func (w *plainWorld) updateAgent(id string, a *plainAgent) core.AllocatorEvent {
	if a == nil {
		return nil
	}
	a.total = a.total.Add(wire(pickOf(w.rng, "cpus:1", "mem:64", "cpus(e):1;mem:1")))
	if w.rng.IntN(3) == 0 && a.rack == "r1" {
		a.rack, a.filters = "r2", nil
	}
	return core.AllocatorUpdateAgent{ID: core.AgentID(id), Info: a.info(), Total: a.total.Proto(), Capabilities: a.capabilities()}
}

func (w *plainWorld) setWeights() core.AllocatorEvent {
	role, weight := pickOf(w.rng, plainRoles...), pickOf(w.rng, 0.5, 1, 2, 4)
	w.weights[role] = weight
	return core.AllocatorSetWeights{Weights: map[string]float64{role: weight}}
}

// setQuotas changes the quota of one role, nested ones too, without a look at whether guarantees fit together.
func (w *plainWorld) setQuotas() core.AllocatorEvent {
	if !w.quotaOn {
		return nil
	}
	role := pickOf(w.rng, plainRoles...)
	one := func(names ...string) map[string]float64 {
		m := map[string]float64{}
		for _, name := range names {
			if w.rng.IntN(2) == 0 {
				m[name] = map[string]float64{"cpus": 1, "mem": 128}[name] * float64(w.rng.IntN(9))
			}
		}
		return m
	}
	guarantee, limit := one("cpus", "mem"), one("cpus", "mem")
	delete(w.quotas, role)
	if len(guarantee)+len(limit) > 0 {
		w.quotas[role] = plainQuota{millis(guarantee), millis(limit)}
	}
	return core.AllocatorSetQuotas{Quotas: map[string]*quota.QuotaConfig{role: {Role: &role, Guarantees: amounts(guarantee), Limits: amounts(limit)}}}
}

func millis(m map[string]float64) map[string]int64 {
	out := map[string]int64{}
	for name, v := range m {
		out[name] = int64(v * 1000)
	}
	return out
}

func (w *plainWorld) setWhitelist() core.AllocatorEvent {
	if w.rng.IntN(2) == 0 {
		w.whitelist = nil
		return core.AllocatorSetWhitelist{Any: true}
	}
	w.whitelist = map[string]bool{"h1": true, "h2": true, "h3": true}
	return core.AllocatorSetWhitelist{Hostnames: []string{"h1", "h2", "h3"}}
}

// take draws an outstanding offer.
func (w *plainWorld) take() (o core.AllocatorOffer, ok bool) {
	if len(w.offers) == 0 {
		return o, false
	}
	i := w.rng.IntN(len(w.offers))
	o = w.offers[i]
	w.offers = slices.Delete(w.offers, i, i+1)
	return o, true
}

// giveBack returns an offer, or a part of it, with or without a filter.
func (w *plainWorld) giveBack() core.AllocatorEvent {
	o, ok := w.take()
	if !ok {
		return nil
	}
	if n := len(o.Resources); n > 1 && w.rng.IntN(4) == 0 {
		rest := o
		rest.Resources, o.Resources = o.Resources[:1:1], o.Resources[1:]
		w.offers = append(w.offers, rest)
	}
	refusal := pickOf(w.rng, 0, time.Second, 1500*time.Millisecond, 5*time.Second, 20*time.Second, 90*time.Second)
	back, err := resources.FromProto(o.Resources)
	if err != nil {
		panic(err)
	}
	a, c := w.agents[string(o.Agent)], plainClient{string(o.Framework), o.Role}
	a.held[c], _ = a.held[c].Sub(back.Unallocated())
	if refusal > 0 && w.frameworks[c.framework].active {
		a.filters = append(a.filters, plainFilter{c, back.Unallocated(), roundUp(w.now, max(refusal, time.Second))})
	}
	return core.AllocatorRecover{Framework: o.Framework, Agent: o.Agent, Resources: o.Resources, Refusal: refusal}
}

// roundUp is when a filter ends: at a mark of its clock, that ticks each 10 ms, and each second beyond a minute.
func roundUp(now time.Time, d time.Duration) time.Time {
	step := 10 * time.Millisecond
	if d > time.Minute {
		step = time.Second
	}
	end := now.Add(d)
	if up := end.Truncate(step); up.Before(end) {
		return up.Add(step)
	}
	return end
}

// convert reserves a CPU of an offer for its role.
func (w *plainWorld) convert() core.AllocatorEvent {
	o, ok := w.take()
	if !ok {
		return nil
	}
	w.offers = append(w.offers, o)
	a, c := w.agents[string(o.Agent)], plainClient{string(o.Framework), o.Role}
	from := wire("cpus:0.25")
	offered, err := resources.FromProto(o.Resources)
	if rest, ok := offered.Unallocated().Sub(from); err != nil || !ok || rest.IsEmpty() || c.role == "*" {
		return nil
	}
	to := from.Proto()
	to[0].Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &c.role}}
	reserved, err := resources.FromProto(to)
	if err != nil {
		panic(err)
	}
	change := func(r resources.Resources) resources.Resources {
		rest, _ := r.Sub(from)
		return rest.Add(reserved)
	}
	a.held[c], a.total = change(a.held[c]), change(a.total)
	w.offers[len(w.offers)-1].Resources = change(offered.Unallocated()).Allocate(c.role).Proto()
	return core.AllocatorConvert{Framework: o.Framework, Agent: o.Agent, From: from.Allocate(c.role).Proto(), To: reserved.Allocate(c.role).Proto()}
}

// pass moves the clock, and ends filters.
func (w *plainWorld) pass() {
	w.now = w.now.Add(time.Duration(pickOf(w.rng, 10, 50, 100, 100, 100, 1000, 7000)) * time.Millisecond)
	for _, a := range w.agents {
		a.filters = slices.DeleteFunc(a.filters, func(f plainFilter) bool { return !f.end.After(w.now) })
	}
}
