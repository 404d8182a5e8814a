package httpapi

import (
	"net/http"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
	"google.golang.org/protobuf/proto"
)

// viewer is what one principal may see of the master's state.
type viewer struct{ auth.Viewer }

func (s *Server) viewer(r *http.Request) *viewer {
	return &viewer{s.guard.ACLs.Viewer(httpauth.PrincipalOf(r), auth.ViewFramework, auth.ViewTask, auth.ViewExecutor, auth.ViewRole, auth.GetQuota)}
}

// visible is the newest state as the sender of r may see it. Every query begins here.
func (s *Server) visible(r *http.Request) *core.Snapshot {
	return s.viewer(r).snapshot(s.cfg.Snapshot())
}

func (v *viewer) task(task *core.Task, owner *mesos.FrameworkInfo) bool {
	return v.Task(task.Base, owner)
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
	if v.All() {
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
	seen.Weights = keptRoles(whole.Weights, v.Role)
	seen.Quotas = keptRoles(whole.Quotas, func(role string) bool { return v.May(auth.GetQuota, auth.Of(role)) })
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
	if !v.Framework(f.Info) {
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
		if !v.May(auth.ViewExecutor, auth.ExecutorUser(e.Info, f.Info)) {
			return nil
		}
		return e
	})
	return &seen
}

func (v *viewer) seenAgent(a *core.Agent) *core.Agent {
	seen := *a
	seen.Total, seen.Used, seen.Offered = v.Resources(a.Total), v.Resources(a.Used), v.Resources(a.Offered)
	if info := v.Resources(a.Info.GetResources()); len(info) != len(a.Info.GetResources()) {
		seen.Info = proto.Clone(a.Info).(*mesos.AgentInfo)
		seen.Info.Resources = info
	}
	return &seen
}

// seenOperation hides an operation on resources of a role that is hidden.
func (v *viewer) seenOperation(o *core.Operation) *core.Operation {
	if !v.Operation(o.Info.GetInfo()) {
		return nil
	}
	return o
}

// event gives of an event what may be seen; false when that is nothing.
func (v *viewer) event(e core.OperatorEvent) (core.OperatorEvent, bool) {
	if v.All() {
		return e, true
	}
	switch {
	case e.Task != nil:
		return e, v.Framework(e.Owner) && v.task(e.Task, e.Owner)
	case e.Framework != nil:
		return e, v.Framework(e.Framework.Info)
	case e.Type == core.AgentAdded:
		e.Agent = v.seenAgent(e.Agent)
	}
	return e, true
}
