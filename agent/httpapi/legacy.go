package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/buildinfo"
	"agora.dev/agora/resources"
)

// number is a double as Mesos prints it: 15 is 15.0.
type number float64

// MarshalJSON is for encoding/json.
func (n number) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(n), 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return []byte(text), nil
}

// message encodes a message as the v1 API does.
func message(m proto.Message) json.RawMessage {
	data, err := codec.Marshal(codec.JSON, m)
	if err != nil {
		return json.RawMessage("null")
	}
	return data
}

func messages[M proto.Message](list []M) []json.RawMessage {
	out := []json.RawMessage{}
	for _, m := range list {
		out = append(out, message(m))
	}
	return out
}

func seconds(t time.Time) number { return number(float64(t.UnixMicro()) / 1e6) }

func roundMilli(v float64) float64 { return math.Round(v*1000) / 1000 }

// addBuild adds what is known of the build, as /version and /state have it.
func addBuild(out map[string]any) {
	build := buildinfo.Read()
	out["build_date"], out["build_time"], out["build_user"] = build.Date, number(build.Time), build.User
	if build.Revision != "" {
		out["git_sha"] = build.Revision
	}
}

func (s *Server) legacyVersion(w http.ResponseWriter, r *http.Request) {
	out := map[string]any{"version": s.Version}
	addBuild(out)
	writeJSON(w, r, out)
}

func (s *Server) legacyFlags(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, r, map[string]any{"flags": s.Flags})
}

// legacyState is GET /state.
func (s *Server) legacyState(w http.ResponseWriter, r *http.Request) {
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return
	}
	if !snapshot.Recovered {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", core.ErrRecovering))
		return
	}
	viewer := s.viewer(r)
	allocated := viewer.Resources(used(snapshot))
	snapshot = viewer.snapshot(snapshot)
	info := snapshot.Agent
	state := map[string]any{
		"version": s.Version, "start_time": seconds(s.Started), "pid": "slave(1)@" + s.Endpoint,
		"hostname": info.GetHostname(), "id": info.GetId().GetValue(),
		"capabilities": s.Capabilities,
		"resources":    quantities(info.GetResources()), "attributes": attributes(info),
		"reserved_resources": byRole(snapshot.Total), "unreserved_resources": quantities(unreserved(snapshot.Total)),
		"reserved_resources_full": fullByRole(snapshot.Total), "unreserved_resources_full": full(unreserved(snapshot.Total)),
		"reserved_resources_allocated": byRole(allocated), "unreserved_resources_allocated": quantities(unreserved(allocated)),
		"resource_providers": []any{}, "frameworks": rowsOf(snapshot.Frameworks, legacyFramework),
		"completed_frameworks": rowsOf(snapshot.Completed, legacyFramework),
	}
	addBuild(state)
	if flags := viewer.flags(s.Flags); flags != nil {
		state["flags"] = flags
	}
	for name, value := range map[string]string{"log_dir": s.LogDir, "external_log_file": s.ExternalLog} {
		if value != "" {
			state[name] = value
		}
	}
	if snapshot.MasterHostname != "" {
		state["master_hostname"] = snapshot.MasterHostname
	}
	if snapshot.Drain != nil {
		state["drain_config"] = message(snapshot.Drain)
		state["estimated_drain_start_time_seconds"] = snapshot.DrainSince.Unix() // whole seconds, as Mesos
	}
	writeRows(w, r, state)
}

func legacyFramework(f core.FrameworkView) any {
	entry := map[string]any{
		"id": f.Info.GetId().GetValue(), "name": f.Info.GetName(), "user": f.Info.GetUser(),
		"failover_timeout": number(f.Info.GetFailoverTimeout()), "checkpoint": f.Info.GetCheckpoint(),
		"hostname": f.Info.GetHostname(), "roles": append([]string{}, f.Info.GetRoles()...),
		"executors": rowsOf(f.Executors, legacyExecutor), "completed_executors": rowsOf(f.Completed, legacyExecutor),
	}
	if f.Info.Principal != nil {
		entry["principal"] = f.Info.GetPrincipal()
	}
	return entry
}

func legacyExecutor(e core.ExecutorView) any {
	entry := map[string]any{
		"id": string(e.Run.Key.Executor), "name": e.Info.GetName(), "source": e.Info.GetSource(),
		"container": string(e.Run.Container), "directory": e.Sandbox, "resources": quantities(e.Resources),
		"role": roleOf(e), "tasks": rowsOf(slices.Concat(e.Launched, e.Terminated), legacyTask),
		"queued_tasks": rowsOf(e.Queued, func(t *mesos.TaskInfo) any { return legacyQueued(t, e.Run.Key) }), "completed_tasks": rowsOf(e.Completed, legacyTask),
	}
	switch e.Kind {
	case core.TaskGroup:
		entry["type"] = "DEFAULT"
	case core.Custom:
		entry["type"] = "CUSTOM"
	}
	if e.Info.GetLabels() != nil {
		entry["labels"] = messages(e.Info.GetLabels().GetLabels())
	}
	return entry
}

func roleOf(e core.ExecutorView) string {
	for _, r := range e.Resources {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	for _, list := range [][]*mesos.Task{e.Completed, e.Terminated} {
		for _, t := range list {
			if role := taskRole(t.GetResources()); role != "*" {
				return role
			}
		}
	}
	return "*"
}

func taskRole(resources []*mesos.Resource) string {
	for _, r := range resources {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	return "*"
}

func legacyTask(t *mesos.Task) any {
	entry := whole{
		"id": t.GetTaskId().GetValue(), "name": t.GetName(), "framework_id": t.GetFrameworkId().GetValue(),
		"executor_id": t.GetExecutorId().GetValue(), "slave_id": t.GetAgentId().GetValue(),
		"state": t.GetState().String(), "resources": quantities(t.GetResources()),
		"role": taskRole(t.GetResources()), "statuses": legacyStatuses(t.GetStatuses()),
	}
	if t.User != nil {
		entry["user"] = t.GetUser()
	}
	if t.GetLabels() != nil {
		entry["labels"] = messages(t.GetLabels().GetLabels())
	}
	if t.GetDiscovery() != nil {
		entry["discovery"] = message(t.GetDiscovery())
	}
	if t.GetContainer() != nil {
		entry["container"] = message(t.GetContainer())
	}
	if t.GetHealthCheck() != nil {
		entry["health_check"] = message(t.GetHealthCheck())
	}
	if len(t.GetLimits()) > 0 {
		limits := map[string]number{}
		for name, limit := range t.GetLimits() {
			limits[name] = number(limit.GetValue())
		}
		entry["limits"] = limits
	}
	return entry
}

func legacyStatuses(list []*mesos.TaskStatus) []any {
	out := []any{}
	for _, s := range list {
		entry := map[string]any{"state": s.GetState().String(), "timestamp": number(s.GetTimestamp())}
		if s.GetContainerStatus() != nil {
			entry["container_status"] = message(s.GetContainerStatus())
		}
		if s.GetLabels() != nil {
			entry["labels"] = messages(s.GetLabels().GetLabels())
		}
		if s.Healthy != nil {
			entry["healthy"] = s.GetHealthy()
		}
		out = append(out, entry)
	}
	return out
}

func legacyQueued(t *mesos.TaskInfo, executor core.ExecutorKey) any {
	return whole{
		"id": t.GetTaskId().GetValue(), "name": t.GetName(), "slave_id": t.GetAgentId().GetValue(),
		"executor_id": string(executor.Executor), "framework_id": string(executor.Framework),
		"resources": quantities(t.GetResources()),
	}
}

func (s *Server) legacyContainers(w http.ResponseWriter, r *http.Request) {
	s.legacyUsage(w, r, true)
}

func (s *Server) legacyStatistics(w http.ResponseWriter, r *http.Request) {
	s.legacyUsage(w, r, false)
}

func (s *Server) legacyUsage(w http.ResponseWriter, r *http.Request, status bool) {
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return
	}
	wanted := r.URL.Query().Get("container_id")
	sources := map[string]string{}
	each(snapshot, func(_ core.FrameworkView, e core.ExecutorView, _ bool) {
		sources[string(e.Run.Container)] = e.Info.GetSource()
	})
	out := []any{}
	for _, c := range s.containers(r.Context(), s.viewer(r), snapshot, r.URL.Query().Get("nested") == "true") {
		id := flat(c.GetContainerId())
		if wanted != "" && wanted != id {
			continue
		}
		entry := map[string]any{
			"executor_id": c.GetExecutorId().GetValue(), "executor_name": c.GetExecutorName(),
			"framework_id": c.GetFrameworkId().GetValue(), "source": sources[id],
		}
		if c.GetResourceStatistics() != nil {
			entry["statistics"] = message(c.GetResourceStatistics())
		}
		if status {
			entry["container_id"], entry["status"] = id, message(c.GetContainerStatus())
		}
		out = append(out, entry)
	}
	writeJSON(w, r, out)
}

func flat(id *mesos.ContainerID) string {
	if id.GetParent() == nil {
		return id.GetValue()
	}
	return flat(id.GetParent()) + "." + id.GetValue()
}

// used is what all live executors take.
func used(s *core.Snapshot) []*mesos.Resource {
	var out []*mesos.Resource
	each(s, func(_ core.FrameworkView, e core.ExecutorView, live bool) {
		if live {
			out = append(out, e.Resources...)
		}
	})
	return out
}

func unreserved(list []*mesos.Resource) []*mesos.Resource {
	var out []*mesos.Resource
	for _, r := range list {
		if len(r.GetReservations()) == 0 {
			out = append(out, r)
		}
	}
	return out
}

func byRole(list []*mesos.Resource) map[string]any {
	out := map[string]any{}
	for role, list := range reservedTo(list) {
		out[role] = quantities(list)
	}
	return out
}

// fullByRole lists what each role has reserved, in both formats of a reservation, as Mesos does.
func fullByRole(list []*mesos.Resource) map[string]any {
	out := map[string]any{}
	for role, list := range reservedTo(list) {
		if read, err := resources.FromProto(list); err == nil {
			list = read.EndpointProto()
		}
		out[role] = full(list)
	}
	return out
}

func reservedTo(list []*mesos.Resource) map[string][]*mesos.Resource {
	roles := map[string][]*mesos.Resource{}
	for _, r := range list {
		if n := len(r.GetReservations()); n > 0 {
			role := r.GetReservations()[n-1].GetRole()
			roles[role] = append(roles[role], r)
		}
	}
	return roles
}

// quantities sums resources as /state shows them; what is revocable is apart (Mesos common/http.cpp).
func quantities(list []*mesos.Resource) map[string]any {
	scalars := map[string]float64{"cpus": 0, "mem": 0, "disk": 0, "gpus": 0}
	texts := map[string][]string{}
	for _, r := range list {
		name := r.GetName()
		if r.GetRevocable() != nil {
			name += "_revocable"
		}
		switch r.GetType() {
		case mesos.Value_SCALAR:
			scalars[name] += r.GetScalar().GetValue()
		case mesos.Value_RANGES:
			for _, span := range r.GetRanges().GetRange() {
				texts[name] = append(texts[name], fmt.Sprintf("%d-%d", span.GetBegin(), span.GetEnd()))
			}
		case mesos.Value_SET:
			texts[name] = append(texts[name], r.GetSet().GetItem()...)
		}
	}
	out := map[string]any{}
	for name, value := range scalars {
		out[name] = number(roundMilli(value))
	}
	for name, parts := range texts {
		out[name] = "[" + strings.Join(parts, ", ") + "]"
	}
	return out
}

func attributes(info *mesos.AgentInfo) map[string]any {
	out := map[string]any{}
	for _, a := range info.GetAttributes() {
		switch a.GetType() {
		case mesos.Value_SCALAR:
			out[a.GetName()] = number(a.GetScalar().GetValue())
		case mesos.Value_RANGES:
			one := &mesos.Resource{Name: a.Name, Type: a.Type, Ranges: a.GetRanges()}
			out[a.GetName()] = quantities([]*mesos.Resource{one})[a.GetName()]
		default:
			out[a.GetName()] = a.GetText().GetValue()
		}
	}
	return out
}

func full(list []*mesos.Resource) []any {
	out := []any{}
	for _, r := range list {
		var entry map[string]json.RawMessage // numbers stay as they were written
		if json.Unmarshal(message(r), &entry) == nil {
			if entry["role"] == nil {
				entry["role"] = json.RawMessage(`"*"`)
			}
			out = append(out, entry)
		}
	}
	return out
}
