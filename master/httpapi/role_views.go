package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/auth"
	"agora.dev/agora/master/core"
)

// role is what is known of one role: amounts include those of the roles below it, frameworks
// are its own.
type role struct {
	name   string
	weight float64
	quota  *quota.QuotaConfig
	// unreserved is the part of allocated that counts for quota beside reservations.
	allocated, unreserved, offered, reserved quantities
	frameworks                               []core.FrameworkID
}

// consumed is what counts against the role's quota.
func (r *role) consumed() quantities { return r.unreserved.plus(r.reserved) }

// roleBook collects roles by name.
type roleBook map[string]*role

// of finds a role, made if need be with those above it.
func (b roleBook) of(name string) *role {
	if b[name] == nil {
		b[name] = &role{name: name, weight: 1, allocated: quantities{}, unreserved: quantities{}, offered: quantities{}, reserved: quantities{}}
		if cut := strings.LastIndexByte(name, '/'); cut > 0 {
			b.of(name[:cut])
		}
	}
	return b[name]
}

// each calls for a role and those above it.
func (b roleBook) each(name string, do func(*role)) {
	do(b.of(name))
	for cut := strings.LastIndexByte(name, '/'); cut > 0; cut = strings.LastIndexByte(name, '/') {
		name = name[:cut]
		do(b.of(name))
	}
}

// visibleRoles lists the roles that the sender of r may see, with what may be seen of each.
func (s *Server) visibleRoles(r *http.Request) []*role {
	v := s.viewer(r)
	return auth.Kept(s.rolesOf(v.snapshot(s.cfg.Snapshot())), func(one *role) bool { return v.All() || v.Role(one.name) })
}

// rolesOf lists every role that is on the whitelist or has a framework, a reservation, an allocation,
// a weight or a quota, and those above such roles.
func (s *Server) rolesOf(snapshot *core.Snapshot) []*role {
	book := roleBook{}
	for _, name := range s.cfg.Roles {
		book.of(name)
	}
	for name, weight := range snapshot.Weights {
		book.of(name).weight = weight
	}
	for name, config := range snapshot.Quotas {
		book.of(name).quota = config
	}
	for framework := range snapshot.Frameworks.All() {
		for _, name := range frameworkRoles(framework.Info) {
			book.of(name).frameworks = append(book.of(name).frameworks, framework.ID)
		}
	}
	for agent := range snapshot.Agents.All() {
		book.agent(agent)
	}
	list := make([]*role, 0, len(book))
	for _, name := range slices.Sorted(maps.Keys(book)) {
		list = append(list, book[name])
	}
	return list
}

// agent adds what one agent has for roles.
func (b roleBook) agent(agent *core.Agent) {
	for _, r := range agent.Total {
		if name := roleOf(r); name != "*" {
			b.each(name, func(to *role) { to.reserved.count(r) })
		}
	}
	for _, r := range agent.Used {
		b.each(allocationRole(r), func(to *role) {
			to.allocated.add([]*mesos.Resource{r})
			if roleOf(r) == "*" {
				to.unreserved.count(r)
			}
		})
	}
	for _, r := range agent.Offered {
		b.each(allocationRole(r), func(to *role) { to.offered.add([]*mesos.Resource{r}) })
	}
}

// count adds what quota counts: nothing that is revocable.
func (q quantities) count(r *mesos.Resource) {
	if r.Revocable == nil {
		q.add([]*mesos.Resource{r})
	}
}

func (s *Server) roles(w http.ResponseWriter, r *http.Request) {
	roles := s.visibleRoles(r)
	view(w, r, func(out *writer) {
		out.element(func() {
			out.array("roles", func() {
				for _, role := range roles {
					out.element(func() { out.role(role) })
				}
			})
		})
	})
}

func (w *writer) role(r *role) {
	w.text("name", r.name)
	w.float("weight", r.weight)
	w.object("quota", func() {
		w.text("role", r.name)
		w.amounts("guarantee", scalarsOf(r.quota.GetGuarantees()))
		w.amounts("limit", scalarsOf(r.quota.GetLimits()))
		w.amounts("consumed", r.consumed())
	})
	w.amounts("resources", r.allocated.plus(r.offered))
	w.amounts("allocated", r.allocated)
	w.amounts("offered", r.offered)
	w.amounts("reserved", r.reserved)
	w.array("frameworks", func() {
		for _, id := range r.frameworks {
			w.comma()
			w.quote(string(id))
		}
	})
}

func (w *writer) amounts(name string, q quantities) {
	w.object(name, func() {
		for _, resource := range q.names() {
			w.float(resource, q.value(resource))
		}
	})
}

func (s *Server) rolesProto(r *http.Request) *master.Response_GetRoles {
	m := &master.Response_GetRoles{}
	for _, role := range s.visibleRoles(r) {
		p := &mesos.Role{Name: ptr(role.name), Weight: ptr(role.weight)}
		for _, id := range role.frameworks {
			p.Frameworks = append(p.Frameworks, &mesos.FrameworkID{Value: ptr(string(id))})
		}
		p.Resources = role.allocated.plus(role.offered).resources()
		m.Roles = append(m.Roles, p)
	}
	return m
}

// resources writes quantities as unreserved scalars.
func (q quantities) resources() (list []*mesos.Resource) {
	for _, name := range q.names() {
		list = append(list, &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(),
			Scalar: &mesos.Value_Scalar{Value: ptr(q.value(name))}})
	}
	return list
}
