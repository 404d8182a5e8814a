package httpapi

import (
	"maps"
	"net/http"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

func (s *Server) frameworks(w http.ResponseWriter, r *http.Request) {
	snapshot := s.visible(r)
	only := r.URL.Query().Get("framework_id")
	view(w, r, func(out *writer) {
		out.element(func() {
			s.frameworksBody(out, snapshot, only)
			out.array("unregistered_frameworks", func() {})
		})
	})
}

// frameworksBody writes all frameworks, or the one that is asked for.
func (s *Server) frameworksBody(out *writer, snapshot *core.Snapshot, only string) {
	offers := map[string][]*core.Offer{}
	for offer := range snapshot.Offers.All() {
		id := offer.Info.GetFrameworkId().GetValue()
		offers[id] = append(offers[id], offer)
	}
	out.array("frameworks", func() {
		for framework := range snapshot.Frameworks.All() {
			if only != "" && only != string(framework.ID) {
				continue
			}
			out.element(func() { out.framework(framework, offers[string(framework.ID)]) })
		}
	})
	out.array("completed_frameworks", func() {
		for framework := range snapshot.CompletedFrameworks.All() {
			if only != "" && only != string(framework.ID) {
				continue
			}
			out.element(func() { out.framework(framework, nil) })
		}
	})
}

// frameworkHead is what /state and /state-summary share.
func (w *writer) frameworkHead(f *core.Framework, used, offered []*mesos.Resource) {
	info := f.Info
	w.text("id", string(f.ID))
	w.text("name", info.GetName())
	if info.GetPrincipal() != "" {
		w.text("principal", info.GetPrincipal())
	}
	w.object("used_resources", func() { w.resources(used) })
	w.object("offered_resources", func() { w.resources(offered) })
	w.array("capabilities", func() {
		for _, c := range info.Capabilities {
			w.comma()
			w.quote(c.GetType().String())
		}
	})
	w.text("hostname", info.GetHostname())
	w.text("webui_url", info.GetWebuiUrl())
	w.bool("active", f.Active)
	w.bool("connected", f.Connected)
	w.bool("recovered", f.Recovered)
}

func (w *writer) framework(f *core.Framework, offers []*core.Offer) {
	used := w.usedBy(f)
	var offered []*mesos.Resource
	for _, offer := range offers {
		offered = append(offered, offer.Info.Resources...)
	}
	w.frameworkHead(f, used, offered)
	info := f.Info
	w.text("user", info.GetUser())
	w.float("failover_timeout", info.GetFailoverTimeout())
	w.bool("checkpoint", info.GetCheckpoint())
	w.time("registered_time", f.RegisteredAt)
	w.time("unregistered_time", f.UnregisteredAt)
	if !f.ReregisteredAt.IsZero() && !f.ReregisteredAt.Equal(f.RegisteredAt) {
		w.time("reregistered_time", f.ReregisteredAt)
	}
	w.object("resources", func() { w.resources(slices.Concat(used, offered)) })
	w.frameworkRoles(info)
	w.taskList("tasks", f.Tasks, place{owner: f.ID, list: runningTasks})
	w.taskList("unreachable_tasks", f.UnreachableTasks, place{owner: f.ID, list: unreachableTasks})
	w.taskList("completed_tasks", f.CompletedTasks, place{owner: f.ID, list: completedTasks})
	w.array("offers", func() {
		for _, offer := range offers {
			w.element(func() { w.offer(offer) })
		}
	})
	w.array("executors", func() {
		for executor := range f.Executors.All() {
			w.element(func() { w.executor(f, executor) })
		}
	})
	if info.Labels != nil {
		w.labels(info.Labels)
	}
	if f.OfferConstraints != nil {
		w.message("offer_constraints", f.OfferConstraints)
	} else {
		w.object("offer_constraints", func() {})
	}
}

func (w *writer) frameworkRoles(info *mesos.FrameworkInfo) {
	for _, c := range info.Capabilities {
		if c.GetType() == mesos.FrameworkInfo_Capability_MULTI_ROLE {
			w.strings("roles", info.Roles)
			return
		}
	}
	w.text("role", frameworkRoles(info)[0])
}

func (w *writer) labels(labels *mesos.Labels) {
	w.array("labels", func() {
		for _, label := range labels.GetLabels() {
			w.comma()
			w.raw(label)
		}
	})
}

func (w *writer) offer(offer *core.Offer) {
	info := offer.Info
	w.text("id", info.GetId().GetValue())
	w.text("framework_id", info.GetFrameworkId().GetValue())
	if info.AllocationInfo != nil {
		w.message("allocation_info", info.AllocationInfo)
	}
	w.text("slave_id", info.GetAgentId().GetValue())
	w.object("resources", func() { w.resources(info.Resources) })
}

func (w *writer) executor(f *core.Framework, executor *core.Executor) {
	info := executor.Info
	w.text("executor_id", info.GetExecutorId().GetValue())
	w.text("name", info.GetName())
	w.text("framework_id", string(f.ID))
	w.object("command", func() { w.command(info.GetCommand()) })
	w.object("resources", func() { w.resources(info.Resources) })
	if len(info.Resources) > 0 {
		w.text("role", allocationRole(info.Resources[0]))
	}
	if info.Labels != nil {
		w.labels(info.Labels)
	}
	if info.Type != nil {
		w.text("type", info.GetType().String())
	}
	w.text("slave_id", string(executor.Agent))
}

func (w *writer) command(command *mesos.CommandInfo) {
	if command.GetShell() && command != nil {
		w.text("value", command.GetValue())
	}
	w.strings("argv", command.GetArguments())
	if command.GetEnvironment() != nil {
		w.message("environment", command.GetEnvironment())
	}
	w.array("uris", func() {
		for _, uri := range command.GetUris() {
			w.comma()
			w.raw(uri)
		}
	})
}

func (w *writer) task(task *core.Task) {
	b := task.Base
	w.text("id", b.GetTaskId().GetValue())
	w.text("name", b.GetName())
	w.text("framework_id", b.GetFrameworkId().GetValue())
	w.text("executor_id", b.GetExecutorId().GetValue())
	w.text("slave_id", b.GetAgentId().GetValue())
	w.text("state", task.State.String())
	w.object("resources", func() { w.shape(b.Resources) })
	if len(b.Resources) > 0 {
		w.text("role", allocationRole(b.Resources[0]))
	}
	w.array("statuses", func() {
		for _, status := range task.Statuses {
			w.element(func() { w.status(status) })
		}
	})
	w.optional("user", b.GetUser())
	if b.Labels != nil {
		w.labels(b.Labels)
	}
	if b.Discovery != nil {
		w.message("discovery", b.Discovery)
	}
	if b.Container != nil {
		w.message("container", b.Container)
	}
	if b.HealthCheck != nil {
		w.message("health_check", b.HealthCheck)
	}
	if len(b.Limits) > 0 {
		w.object("limits", func() {
			for _, name := range slices.Sorted(maps.Keys(b.Limits)) {
				w.float(name, b.Limits[name].GetValue())
			}
		})
	}
}

func (w *writer) status(status *mesos.TaskStatus) {
	w.text("state", status.GetState().String())
	w.float("timestamp", status.GetTimestamp())
	if status.Labels != nil {
		w.labels(status.Labels)
	}
	if c := status.ContainerStatus; c != nil {
		w.message("container_status", &mesos.ContainerStatus{ContainerId: c.ContainerId, NetworkInfos: c.NetworkInfos, CgroupInfo: c.CgroupInfo})
	}
	if status.Healthy != nil {
		w.bool("healthy", status.GetHealthy())
	}
}
