package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth"
	"agora.dev/agora/master/core"
)

func (s *Server) version(w http.ResponseWriter, r *http.Request) {
	v := s.cfg.Version
	view(w, r, func(out *writer) { out.element(func() { out.version(v, true) }) })
}

// version writes the fields in the order of /version, which sorts, or that of /state.
func (w *writer) version(v Version, sorted bool) {
	if !sorted {
		w.text("version", v.Version)
		w.optional("git_sha", v.GitSHA)
		w.optional("git_branch", v.GitBranch)
		w.optional("git_tag", v.GitTag)
	}
	w.text("build_date", v.BuildDate)
	w.float("build_time", v.BuildTime)
	w.text("build_user", v.BuildUser)
	if sorted {
		w.optional("git_branch", v.GitBranch)
		w.optional("git_sha", v.GitSHA)
		w.optional("git_tag", v.GitTag)
		w.text("version", v.Version)
	}
}

func (s *Server) flags(w http.ResponseWriter, r *http.Request) {
	view(w, r, func(out *writer) { out.element(func() { out.flags(s.cfg.Flags) }) })
}

func (w *writer) flags(flags map[string]string) {
	w.object("flags", func() {
		for _, name := range slices.Sorted(maps.Keys(flags)) {
			w.text(name, flags[name])
		}
	})
}

func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	snapshot, viewer := s.visible(r), s.viewer(r)
	view(w, r, func(out *writer) {
		out.known, out.made = s.fragments.Load(), newFragments()
		if viewer.All() { // what others see is made for them
			defer func() { s.fragments.Store(out.made) }()
		}
		out.element(func() {
			s.stateHead(out, snapshot)
			if viewer.May(auth.ViewFlags, auth.Any) {
				out.flags(s.cfg.Flags)
			}
			out.array("slaves", func() { blocks(out, snapshot.Agents, place{}, out.known.agents, out.made.agents, (*writer).agent) })
			out.array("recovered_slaves", func() { out.recovered(snapshot) })
			s.frameworksBody(out, snapshot, "")
			out.array("orphan_tasks", func() {})
			out.array("unregistered_frameworks", func() {})
		})
	})
}

func (s *Server) stateHead(out *writer, snapshot *core.Snapshot) {
	out.version(s.cfg.Version, false)
	out.time("start_time", snapshot.StartedAt)
	out.time("elected_time", snapshot.ElectedAt)
	info := snapshot.Master
	out.text("id", info.GetId())
	out.text("pid", info.GetPid())
	out.text("hostname", info.GetHostname())
	out.array("capabilities", func() {
		for _, c := range info.GetCapabilities() {
			out.comma()
			out.quote(c.GetType().String())
		}
	})
	active, inactive := 0, 0
	for agent := range snapshot.Agents.All() {
		if agent.Active {
			active++
		} else {
			inactive++
		}
	}
	out.float("activated_slaves", float64(active))
	out.float("deactivated_slaves", float64(inactive))
	out.float("unreachable_slaves", float64(snapshot.UnreachableAgents.Len()))
	out.text("leader", info.GetPid())
	out.object("leader_info", func() {
		out.text("id", info.GetId())
		out.text("pid", info.GetPid())
		out.int("port", int64(info.GetPort()))
		out.text("hostname", info.GetHostname())
	})
	if info.Domain != nil {
		out.message("domain", info.Domain)
	}
	out.optional("cluster", s.cfg.Cluster)
	out.optional("log_dir", s.cfg.LogDir)
	out.optional("external_log_file", s.cfg.ExternalLog)
}

func (s *Server) slaves(w http.ResponseWriter, r *http.Request) {
	snapshot := s.visible(r)
	only := r.URL.Query().Get("slave_id")
	view(w, r, func(out *writer) {
		out.element(func() {
			out.array("slaves", func() {
				for agent := range snapshot.Agents.All() {
					if only == "" || only == string(agent.ID) {
						out.element(func() { out.agent(agent); out.agentFull(agent) })
					}
				}
			})
			out.array("recovered_slaves", func() { out.recovered(snapshot) })
		})
	})
}

func (w *writer) recovered(snapshot *core.Snapshot) {
	for agent := range snapshot.RecoveredAgents.All() {
		w.element(func() {
			w.text("id", string(agent.ID))
			w.text("hostname", agent.Info.GetHostname())
			w.int("port", int64(agent.Info.GetPort()))
			w.object("attributes", func() { w.attributes(agent.Info.Attributes) })
			w.object("resources", func() { w.resources(agent.Info.Resources) })
		})
	}
}

func (w *writer) agent(agent *core.Agent) {
	w.text("id", string(agent.ID))
	w.text("hostname", agent.Info.GetHostname())
	w.int("port", int64(agent.Info.GetPort()))
	w.object("attributes", func() { w.attributes(agent.Info.Attributes) })
	w.text("pid", agent.PID)
	w.time("registered_time", agent.RegisteredAt)
	if !agent.ReregisteredAt.IsZero() {
		w.time("reregistered_time", agent.ReregisteredAt)
	}
	w.object("resources", func() { w.resources(agent.Total) })
	w.object("used_resources", func() { w.resources(agent.Used) })
	w.object("offered_resources", func() { w.resources(agent.Offered) })
	reserved, free := byReservation(agent.Total)
	w.object("reserved_resources", func() {
		for _, role := range slices.Sorted(maps.Keys(reserved)) {
			w.object(role, func() { w.resources(reserved[role]) })
		}
	})
	w.object("unreserved_resources", func() { w.resources(free) })
	if agent.Info.Domain != nil {
		w.message("domain", agent.Info.Domain)
	}
	w.bool("active", agent.Active)
	w.bool("deactivated", agent.Deactivated)
	w.text("version", agent.Version)
	w.array("capabilities", func() {
		for _, c := range agent.Capabilities {
			w.comma()
			w.quote(c.GetType().String())
		}
	})
	if agent.Drain != nil {
		w.message("drain_info", agent.Drain)
		w.time("estimated_drain_start_time_seconds", agent.DrainSince)
	}
}

func (w *writer) agentFull(agent *core.Agent) {
	reserved, free := byReservation(agent.Total)
	w.object("reserved_resources_full", func() {
		for _, role := range slices.Sorted(maps.Keys(reserved)) {
			w.array(role, func() { w.resourcesFull(reserved[role]) })
		}
	})
	w.array("unreserved_resources_full", func() { w.resourcesFull(free) })
	w.array("used_resources_full", func() { w.resourcesFull(agent.Used) })
	w.array("offered_resources_full", func() { w.resourcesFull(agent.Offered) })
}

func byReservation(list []*mesos.Resource) (reserved map[string][]*mesos.Resource, free []*mesos.Resource) {
	reserved = map[string][]*mesos.Resource{}
	for _, r := range list {
		if role := roleOf(r); role != "*" {
			reserved[role] = append(reserved[role], r)
		} else {
			free = append(free, r)
		}
	}
	return reserved, free
}

func (w *writer) resourcesFull(list []*mesos.Resource) {
	for _, r := range endpointResources(list) {
		w.comma()
		w.raw(r)
	}
}

// shownName sets what is revocable apart (Mesos common/http.cpp).
func shownName(r *mesos.Resource) string {
	if r.Revocable != nil {
		return r.GetName() + "_revocable"
	}
	return r.GetName()
}

// resources writes amounts by name: the four that every view has, then others.
func (w *writer) resources(list []*mesos.Resource) {
	sums := quantities{}
	for _, r := range list {
		sums.addAs(shownName(r), r)
	}
	for _, name := range []string{"disk", "mem", "gpus", "cpus"} {
		w.float(name, sums.value(name))
		delete(sums, name)
	}
	for _, name := range sums.names() {
		w.float(name, sums.value(name))
	}
	others := map[string]string{}
	for _, r := range list {
		if r.GetType() == mesos.Value_RANGES {
			others[shownName(r)] = joinRanges(others[shownName(r)], r.GetRanges())
		}
		if r.GetType() == mesos.Value_SET {
			others[shownName(r)] = fmt.Sprintf("{%s}", joinStrings(r.GetSet().GetItem()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		w.text(name, others[name])
	}
}

func joinRanges(before string, ranges *mesos.Value_Ranges) string {
	out := []byte("[")
	if before != "" {
		out = append([]byte(before[:len(before)-1]), ", "...)
	}
	for i, r := range ranges.GetRange() {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = fmt.Appendf(out, "%d-%d", r.GetBegin(), r.GetEnd())
	}
	return string(append(out, ']'))
}

func joinStrings(items []string) string {
	out := ""
	for i, item := range items {
		if i > 0 {
			out += ","
		}
		out += item
	}
	return out
}

func (w *writer) attributes(list []*mesos.Attribute) {
	for _, a := range list {
		switch a.GetType() {
		case mesos.Value_SCALAR:
			w.float(a.GetName(), a.GetScalar().GetValue())
		case mesos.Value_RANGES:
			w.text(a.GetName(), joinRanges("", a.GetRanges()))
		default:
			w.text(a.GetName(), a.GetText().GetValue())
		}
	}
}
