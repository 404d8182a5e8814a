package httpapi

import (
	"net/http"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
)

// viewer is what one principal may see of the agent's state.
type viewer struct{ auth.Viewer }

func (s *Server) viewer(r *http.Request) *viewer {
	return &viewer{s.guard.ACLs.Viewer(httpauth.PrincipalOf(r), auth.ViewFramework, auth.ViewTask, auth.ViewExecutor, auth.ViewRole)}
}

// flags are the options that the sender of r may see.
func (v *viewer) flags(all map[string]string) map[string]string {
	if !v.May(auth.ViewFlags, auth.Any) {
		return nil
	}
	return all
}

// container may be seen by who may see its executor's user.
func (v *viewer) container(e core.ExecutorView) bool {
	return v.May(auth.ViewContainer, auth.Of(e.User))
}

// snapshot gives of a state what may be seen.
func (v *viewer) snapshot(whole *core.Snapshot) *core.Snapshot {
	if v.All() {
		return whole
	}
	seen := *whole
	seen.Frameworks, seen.Completed = v.frameworks(whole.Frameworks), v.frameworks(whole.Completed)
	seen.Total = v.Resources(whole.Total)
	seen.Operations = auth.Kept(whole.Operations, func(o *mesos.Operation) bool { return v.Operation(o.GetInfo()) })
	if info := v.Resources(whole.Agent.GetResources()); len(info) != len(whole.Agent.GetResources()) {
		seen.Agent = proto.CloneOf(whole.Agent)
		seen.Agent.Resources = info
	}
	return &seen
}

func (v *viewer) frameworks(list []core.FrameworkView) []core.FrameworkView {
	var out []core.FrameworkView
	for _, f := range list {
		if v.Framework(f.Info) {
			f.Executors, f.Completed = v.executors(f.Executors, f.Info), v.executors(f.Completed, f.Info)
			out = append(out, f)
		}
	}
	return out
}

func (v *viewer) executors(list []core.ExecutorView, owner *mesos.FrameworkInfo) []core.ExecutorView {
	var out []core.ExecutorView
	for _, e := range list {
		if !v.May(auth.ViewExecutor, auth.Of(e.User)) {
			continue
		}
		task := func(t *mesos.Task) bool { return v.Task(t, owner) }
		e.Launched, e.Terminated, e.Completed = auth.Kept(e.Launched, task), auth.Kept(e.Terminated, task), auth.Kept(e.Completed, task)
		e.Queued = auth.Kept(e.Queued, func(t *mesos.TaskInfo) bool { return v.May(auth.ViewTask, auth.LaunchUser(t, owner)) })
		out = append(out, e)
	}
	return out
}
