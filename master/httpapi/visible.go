package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
	"google.golang.org/protobuf/proto"
)

// viewer is what one principal may see. It is a value of the ACLs and the principal: a stream keeps the
// one that it began with.
type viewer struct {
	acls *auth.ACLs
	who  *auth.Principal
	// all: nothing has to be looked at, because everything may be seen.
	all bool
}

// viewing are the actions that filter answers.
var viewing = []auth.Action{auth.ViewFramework, auth.ViewTask, auth.ViewExecutor, auth.ViewRole, auth.GetQuota}

func (s *Server) viewer(r *http.Request) *viewer {
	v := &viewer{acls: s.cfg.Access.ACLs, who: httpauth.PrincipalOf(r), all: true}
	for _, action := range viewing {
		v.all = v.all && v.acls.AllowsAll(v.who, action)
	}
	return v
}

// visible is the newest state as the sender of r may see it. Every query begins here.
func (s *Server) visible(r *http.Request) *core.Snapshot {
	return s.viewer(r).snapshot(s.cfg.Snapshot())
}

// key tells the principal of a viewer from all others.
func (v *viewer) key() string {
	if v.who == nil {
		return "nobody"
	}
	return fmt.Sprintf("%q %q", v.who.Value, v.who.Claims) // the claims in the order of their names
}

func (v *viewer) may(action auth.Action, object auth.Object) bool {
	return v.acls.Allows(v.who, action, object)
}

func (v *viewer) framework(info *mesos.FrameworkInfo) bool {
	return v.may(auth.ViewFramework, auth.FrameworkUser(info))
}

func (v *viewer) task(task *core.Task, owner *mesos.FrameworkInfo) bool {
	return v.may(auth.ViewTask, auth.TaskUser(task.Base, owner))
}

func (v *viewer) role(name string) bool { return v.may(auth.ViewRole, auth.Of(name)) }

// resource may be seen by who may see the roles that it is reserved for and allocated to.
func (v *viewer) resource(r *mesos.Resource) bool {
	for _, reservation := range r.GetReservations() {
		if !v.role(reservation.GetRole()) {
			return false
		}
	}
	if r.Role != nil && !v.role(r.GetRole()) {
		return false
	}
	return r.AllocationInfo == nil || v.role(r.GetAllocationInfo().GetRole())
}

func (v *viewer) resources(list []*mesos.Resource) []*mesos.Resource {
	return kept(list, v.resource)
}

// kept gives the elements that may be seen, and the same list when all may.
func kept[T any](list []T, see func(T) bool) []T {
	if !slices.ContainsFunc(list, func(one T) bool { return !see(one) }) {
		return list
	}
	out := make([]T, 0, len(list))
	for _, one := range list {
		if see(one) {
			out = append(out, one)
		}
	}
	return out
}

// viewOf filters and changes the records of a view; nil leaves a record out.
func viewOf[T any](view core.View[T], see func(*T) *T) core.View[T] {
	var out []*T
	for record := range view.All() {
		if seen := see(record); seen != nil {
			out = append(out, seen)
		}
	}
	return core.ViewOf(out)
}

// snapshot gives of a state what may be seen.
func (v *viewer) snapshot(whole *core.Snapshot) *core.Snapshot {
	if v.all {
		return whole
	}
	seen := *whole
	seen.Frameworks = viewOf(whole.Frameworks, v.seenFramework)
	seen.CompletedFrameworks = viewOf(whole.CompletedFrameworks, v.seenFramework)
	seen.Agents = viewOf(whole.Agents, v.seenAgent)
	seen.RecoveredAgents = viewOf(whole.RecoveredAgents, v.seenAgent)
	frameworks := map[string]bool{}
	for f := range seen.Frameworks.All() {
		frameworks[string(f.ID)] = true
	}
	seen.Offers = viewOf(whole.Offers, func(o *core.Offer) *core.Offer {
		if !frameworks[o.Info.GetFrameworkId().GetValue()] {
			return nil
		}
		return o
	})
	seen.Operations = viewOf(whole.Operations, v.seenOperation)
	seen.Weights = keptRoles(whole.Weights, v.role)
	seen.Quotas = keptRoles(whole.Quotas, func(role string) bool { return v.may(auth.GetQuota, auth.Of(role)) })
	return &seen
}

func keptRoles[T any](byRole map[string]T, see func(string) bool) map[string]T {
	out := make(map[string]T, len(byRole))
	for role, value := range byRole {
		if see(role) {
			out[role] = value
		}
	}
	return out
}

func (v *viewer) seenFramework(f *core.Framework) *core.Framework {
	if !v.framework(f.Info) {
		return nil
	}
	seen := *f
	task := func(t *core.Task) *core.Task {
		if !v.task(t, f.Info) {
			return nil
		}
		return t
	}
	seen.Tasks = viewOf(f.Tasks, task)
	seen.UnreachableTasks = viewOf(f.UnreachableTasks, task)
	seen.CompletedTasks = viewOf(f.CompletedTasks, task)
	seen.Executors = viewOf(f.Executors, func(e *core.Executor) *core.Executor {
		if !v.may(auth.ViewExecutor, auth.ExecutorUser(e.Info, f.Info)) {
			return nil
		}
		return e
	})
	return &seen
}

func (v *viewer) seenAgent(a *core.Agent) *core.Agent {
	seen := *a
	seen.Total, seen.Used, seen.Offered = v.resources(a.Total), v.resources(a.Used), v.resources(a.Offered)
	if info := v.resources(a.Info.GetResources()); len(info) != len(a.Info.GetResources()) {
		seen.Info = proto.Clone(a.Info).(*mesos.AgentInfo)
		seen.Info.Resources = info
	}
	return &seen
}

// seenOperation hides an operation on resources of a role that is hidden.
func (v *viewer) seenOperation(o *core.Operation) *core.Operation {
	for _, r := range operands(o.Info.GetInfo()) {
		if !v.resource(r) {
			return nil
		}
	}
	return o
}

// operands are the resources that an operation works on.
func operands(op *mesos.Offer_Operation) []*mesos.Resource {
	all := slices.Concat(op.GetReserve().GetResources(), op.GetUnreserve().GetResources(), op.GetCreate().GetVolumes(), op.GetDestroy().GetVolumes())
	for _, one := range []*mesos.Resource{op.GetGrowVolume().GetVolume(), op.GetGrowVolume().GetAddition(), op.GetShrinkVolume().GetVolume(),
		op.GetCreateDisk().GetSource(), op.GetDestroyDisk().GetSource()} {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// event gives of an event what may be seen; false when that is nothing.
func (v *viewer) event(e core.OperatorEvent) (core.OperatorEvent, bool) {
	if v.all {
		return e, true
	}
	switch {
	case e.Task != nil:
		return e, v.framework(e.Owner) && v.task(e.Task, e.Owner)
	case e.Framework != nil:
		return e, v.framework(e.Framework.Info)
	case e.Type == core.AgentAdded:
		e.Agent = v.seenAgent(e.Agent)
	}
	return e, true
}
