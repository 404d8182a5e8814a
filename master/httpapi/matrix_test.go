package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
)

// callers are the twelve principals. Their names and objects include siblings that begin alike.
func callers(t *testing.T) []*authtest.Caller {
	t.Helper()
	basic, hour := authtest.Basic, authtest.Hour()
	return append(authtest.Strangers(t), []*authtest.Caller{
		{Name: "token without a name", Authorization: authtest.Bearer(t, map[string]any{"cid": "c", "exp": hour}), Status: 403},
		{Name: "admin", Authorization: basic("admin"), Grants: authtest.Everything()},
		{Name: "nobody", Authorization: basic("nobody")},
		{Name: "viewer", Authorization: authtest.Bearer(t, map[string]any{"sub": "viewer", "exp": hour}), Grants: map[auth.Action][]string{
			auth.ViewFramework: {"*"}, auth.ViewTask: {"*"}, auth.ViewExecutor: {"*"}, auth.ViewRole: {"*"}, auth.GetQuota: {"*"},
			auth.ViewFlags: {"*"}, auth.GetEndpoint: {"/metrics/snapshot"}, auth.GetMaintenanceSchedule: {"*"}, auth.GetMaintenanceStatus: {"*"}}},
		{Name: "web", Authorization: basic("web"), Grants: map[auth.Action][]string{
			auth.RegisterFramework: {"web"}, auth.RunTask: {"webuser"}, auth.TeardownFramework: {"web"}, auth.ViewFramework: {"webuser"}, auth.ViewTask: {"webuser"},
			auth.ViewExecutor: {"webuser"}, auth.ViewRole: {"web"}, auth.GetQuota: {"web"}, auth.UpdateQuota: {"web"}, auth.UpdateWeight: {"web"},
			auth.ReserveResources: {"web"}, auth.UnreserveResources: {"web"}, auth.CreateVolume: {"web"}, auth.DestroyVolume: {"web"}, auth.ResizeVolume: {"web"}}},
		{Name: "web-b", Authorization: basic("web-b"), Grants: map[auth.Action][]string{
			auth.RegisterFramework: {"web-b"}, auth.RunTask: {"webuser-b"}, auth.TeardownFramework: {"web-b"}, auth.ViewFramework: {"webuser-b"}, auth.ViewTask: {"webuser-b"},
			auth.ViewExecutor: {"webuser-b"}, auth.ViewRole: {"web-b"}, auth.GetQuota: {"web-b"}, auth.UpdateQuota: {"web-b"}, auth.UpdateWeight: {"web-b"},
			auth.ReserveResources: {"web-b"}, auth.UnreserveResources: {"web-b"}, auth.CreateVolume: {"web-b"}, auth.DestroyVolume: {"web-b"}, auth.ResizeVolume: {"web-b"}}},
		{Name: "ops", Authorization: basic("ops"), Grants: map[auth.Action][]string{
			auth.DrainAgent: {"*"}, auth.DeactivateAgent: {"*"}, auth.ReactivateAgent: {"*"}, auth.MarkAgentGone: {"*"}, auth.StartMaintenance: {"*"},
			auth.StopMaintenance: {"*"}, auth.UpdateMaintenanceSchedule: {"*"}, auth.AccessMesosLog: {"*"}, auth.SetLogLevel: {"*"},
			auth.GetEndpoint: {"/logging/toggle", "/files/debug"}}},
		{Name: "agents", Authorization: basic("agents"), Grants: map[auth.Action][]string{auth.RegisterAgent: {"*"}}},
	}...)
}

// secured is an edge whose realms all ask, with the callers' ACLs; log gets its audit log.
func secured(t *testing.T, all []*authtest.Caller, log *strings.Builder) *edge {
	t.Helper()
	realm := authtest.Realms(t, all)
	return newEdgeWith(t, guard.Access{Readonly: realm(httpauth.MasterReadonly), Readwrite: realm(httpauth.MasterReadwrite),
		Scheduler: realm(httpauth.MasterScheduler), Agent: realm(httpauth.MasterAgent), ACLs: authtest.ACLs(t, all),
		Audit: audit.New(slog.New(slog.NewJSONHandler(log, nil)))})
}

// sample is a request of one route or call, and what its sender has to be allowed.
type sample struct {
	method, path, body string
	realm              guard.Realm
	asks               []auth.Question
}

var asks = authtest.Asks

const (
	reserved = `[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"role":"web","reservations":[{"type":"DYNAMIC","role":"web","principal":"web"}]}]`
	volume   = `{"name":"disk","type":"SCALAR","scalar":{"value":1},"reservations":[{"type":"DYNAMIC","role":"web","principal":"web"}],"disk":{"persistence":{"id":"v","principal":"web"},"volume":{"mode":"RW","container_path":"v"}}}`
	agentRef = `"agent_id":{"value":"m-S0"}`
)

// callSamples are the operator calls that need a body or ask for something, by type.
var callSamples = map[master.Call_Type]sample{
	master.Call_GET_FLAGS:                   {asks: asks(auth.ViewFlags)},
	master.Call_GET_METRICS:                 {body: `"get_metrics":{}`},
	master.Call_SET_LOGGING_LEVEL:           {body: `"set_logging_level":{"level":1,"duration":{"nanoseconds":1}}`, asks: asks(auth.SetLogLevel)},
	master.Call_LIST_FILES:                  {body: `"list_files":{"path":"/master/log"}`, asks: asks(auth.AccessMesosLog)},
	master.Call_READ_FILE:                   {body: `"read_file":{"path":"/master/log","offset":0}`, asks: asks(auth.AccessMesosLog)},
	master.Call_GET_MAINTENANCE_STATUS:      {asks: asks(auth.GetMaintenanceStatus)},
	master.Call_GET_MAINTENANCE_SCHEDULE:    {asks: asks(auth.GetMaintenanceSchedule)},
	master.Call_UPDATE_MAINTENANCE_SCHEDULE: {body: `"update_maintenance_schedule":{"schedule":{"windows":[]}}`, asks: asks(auth.UpdateMaintenanceSchedule)},
	master.Call_START_MAINTENANCE:           {body: `"start_maintenance":{"machines":[{"hostname":"h"}]}`, asks: asks(auth.StartMaintenance)},
	master.Call_STOP_MAINTENANCE:            {body: `"stop_maintenance":{"machines":[{"hostname":"h"}]}`, asks: asks(auth.StopMaintenance)},
	master.Call_DRAIN_AGENT:                 {body: `"drain_agent":{"agent_id":{"value":"x"}}`, asks: asks(auth.DrainAgent)},
	master.Call_DEACTIVATE_AGENT:            {body: `"deactivate_agent":{"agent_id":{"value":"x"}}`, asks: asks(auth.DeactivateAgent)},
	master.Call_REACTIVATE_AGENT:            {body: `"reactivate_agent":{"agent_id":{"value":"x"}}`, asks: asks(auth.ReactivateAgent)},
	master.Call_MARK_AGENT_GONE:             {body: `"mark_agent_gone":{"agent_id":{"value":"x"}}`, asks: asks(auth.MarkAgentGone)},
	master.Call_TEARDOWN:                    {body: `"teardown":{"framework_id":{"value":"m-0000"}}`, asks: asks(auth.TeardownFramework, "web")},
	master.Call_UPDATE_WEIGHTS:              {body: `"update_weights":{"weight_infos":[{"role":"web","weight":2},{"role":"web-b","weight":2}]}`, asks: asks(auth.UpdateWeight, "web", "web-b")},
	master.Call_UPDATE_QUOTA:                {body: `"update_quota":{"quota_configs":[{"role":"web","limits":{"cpus":{"value":100}}}]}`, asks: asks(auth.UpdateQuota, "web")},
	master.Call_SET_QUOTA:                   {body: `"set_quota":{"quota_request":{"role":"web-b","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}}`, asks: asks(auth.UpdateQuota, "web-b")},
	master.Call_REMOVE_QUOTA:                {body: `"remove_quota":{"role":"web-b"}`, asks: asks(auth.UpdateQuota, "web-b")},
	master.Call_RESERVE_RESOURCES:           {body: `"reserve_resources":{` + agentRef + `,"resources":` + reserved + `}`, asks: asks(auth.ReserveResources, "web")},
	master.Call_UNRESERVE_RESOURCES:         {body: `"unreserve_resources":{` + agentRef + `,"resources":` + reserved + `}`, asks: asks(auth.UnreserveResources, "web")},
	master.Call_CREATE_VOLUMES:              {body: `"create_volumes":{` + agentRef + `,"volumes":[` + volume + `]}`, asks: asks(auth.CreateVolume, "web")},
	master.Call_DESTROY_VOLUMES:             {body: `"destroy_volumes":{` + agentRef + `,"volumes":[` + volume + `]}`, asks: asks(auth.DestroyVolume, "web")},
	master.Call_GROW_VOLUME:                 {body: `"grow_volume":{` + agentRef + `,"volume":` + volume + `,"addition":` + volume + `}`, asks: asks(auth.ResizeVolume, "web")},
	master.Call_SHRINK_VOLUME:               {body: `"shrink_volume":{` + agentRef + `,"volume":` + volume + `,"subtract":{"value":0.5}}`, asks: asks(auth.ResizeVolume, "web")},
}

// routeSamples are the routes that need more than a GET, or ask for something.
var routeSamples = map[string]sample{
	"/teardown":             {method: "POST", body: "frameworkId=m-0000", asks: asks(auth.TeardownFramework, "web")},
	"/weights":              {method: "PUT", body: `[{"role":"web-b","weight":3}]`, asks: asks(auth.UpdateWeight, "web-b")},
	"/quota":                {method: "POST", body: `{"role":"web","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}`, asks: asks(auth.UpdateQuota, "web")},
	"/reserve":              {method: "POST", body: "slaveId=m-S0&resources=" + reserved, asks: asks(auth.ReserveResources, "web")},
	"/unreserve":            {method: "POST", body: "slaveId=m-S0&resources=" + reserved, asks: asks(auth.UnreserveResources, "web")},
	"/create-volumes":       {method: "POST", body: "slaveId=m-S0&volumes=[" + volume + "]", asks: asks(auth.CreateVolume, "web")},
	"/destroy-volumes":      {method: "POST", body: "slaveId=m-S0&volumes=[" + volume + "]", asks: asks(auth.DestroyVolume, "web")},
	"/machine/down":         {method: "POST", body: `[{"hostname":"h"}]`, asks: asks(auth.StartMaintenance)},
	"/machine/up":           {method: "POST", body: `[{"hostname":"h"}]`, asks: asks(auth.StopMaintenance)},
	"/maintenance/schedule": {method: "POST", body: `{"windows":[]}`, asks: asks(auth.UpdateMaintenanceSchedule)},
	"/maintenance/status":   {asks: asks(auth.GetMaintenanceStatus)},
	"/flags":                {asks: asks(auth.ViewFlags)},
	"/metrics/snapshot":     {asks: asks(auth.GetEndpoint, "/metrics/snapshot")},
	"/metrics/prometheus":   {asks: asks(auth.GetEndpoint, "/metrics/snapshot")},
	"/logging/toggle":       {method: "POST", path: "/logging/toggle?level=1&duration=1secs", asks: asks(auth.GetEndpoint, "/logging/toggle")},
	"/files/browse":         {path: "/files/browse?path=/master/log", asks: asks(auth.AccessMesosLog)},
	"/files/read":           {path: "/files/read?path=/master/log", asks: asks(auth.AccessMesosLog)},
	"/files/download":       {path: "/files/download?path=/master/log", asks: asks(auth.AccessMesosLog)},
	"/files/debug":          {asks: asks(auth.GetEndpoint, "/files/debug")},
	"/api/agora/why":        {path: "/api/agora/why?framework=m-0000"},
	"/api/agora/offers":     {path: "/api/agora/offers?framework=m-0000"},
}

// plain are the routes that are asked by a GET and ask for nothing but a name.
var plain = []string{"/health", "/system/stats", "/version", "/redirect", "/help", "/", "/state", "/state-summary", "/slaves", "/frameworks", "/tasks",
	"/roles", "/system/stats.json", "/api/agora/link"}

// samples lists one request for every route of the router and every call, and fails where none is known.
func samples(t *testing.T, e *edge) map[string]sample {
	t.Helper()
	all := map[string]sample{}
	for path := range e.routes() {
		s, special := routeSamples[path]
		switch {
		case path == "/api/v1", path == "/api/v1/scheduler":
			continue
		case !special && !slices.Contains(plain, path):
			t.Errorf("%s: add the route to routeSamples or plain", path)
		}
		if s.path == "" {
			s.path = path
		}
		if s.method == "" {
			s.method = "GET"
		}
		s.realm = routeTable[path].Realm
		all[s.method+" "+path] = s
	}
	all["GET /maintenance/schedule"] = sample{method: "GET", path: "/maintenance/schedule", realm: guard.Readwrite, asks: asks(auth.GetMaintenanceSchedule)}
	for number, name := range master.Call_Type_name {
		kind := master.Call_Type(number)
		s := callSamples[kind]
		if access := callTable[kind]; (access.command || access.action != auth.None) && s.asks == nil {
			t.Errorf("%s: add the call to callSamples", name)
		}
		s.method, s.path, s.realm = "POST", "/api/v1", guard.Readwrite
		if s.body = `{"type":"` + name + `",` + s.body; strings.HasSuffix(s.body, ",") {
			s.body = strings.TrimSuffix(s.body, ",")
		}
		s.body += "}"
		all[name] = s
	}
	for _, name := range scheduler.Call_Type_name {
		body := `{"type":"` + name + `","framework_id":{"value":"m-0000"},"` + strings.ToLower(name) + `":{"framework_info":{"user":"u","name":"n","id":{"value":"m-0000"}}}}`
		all["scheduler "+name] = sample{method: "POST", path: "/api/v1/scheduler", body: body, realm: guard.Scheduler}
	}
	return all
}

// expected is what the table says: 401, 403, or 0 for being let in.
func expected(c *authtest.Caller, s sample) int {
	if s.realm == guard.Open {
		return 0
	}
	return c.Expected(s.asks)
}

// status is how an edge answers. Who is let in to an operation waits for an allocator, which is not
// there, until the context ends; refusals come before.
func (e *edge) status(c *authtest.Caller, s sample) (int, http.Header) {
	r := httptest.NewRequest(s.method, s.path, strings.NewReader(s.body))
	r.Header.Set("Content-Type", "application/json")
	if strings.Contains(s.body, "=[") || strings.HasPrefix(s.body, "frameworkId") || strings.HasPrefix(s.body, "slaveId") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.Authorization != "" {
		r.Header.Set("Authorization", c.Authorization)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
	defer cancel()
	r = r.WithContext(ctx)
	status, header, _ := e.serve(r)
	return status, header
}

// TestMatrix asks every route and call as twelve principals, of a fresh edge when the request before
// may have changed something.
func TestMatrix(t *testing.T) {
	all := callers(t)
	if len(all) != 12 {
		t.Fatalf("%d principals", len(all))
	}
	var log strings.Builder
	e := populated(t, secured(t, all, &log))
	rows := samples(t, e)
	refusals, asked, changed := 0, 0, false
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		for _, c := range all {
			s := rows[name]
			if changed {
				e = populated(t, secured(t, all, &log))
			}
			changed = s.asks != nil && expected(c, s) == 0 && s.method != "GET"
			got, header := e.status(c, s)
			asked++
			want := expected(c, s)
			refused := got == 401 || got == 403 && !strings.HasPrefix(name, "scheduler ")
			switch {
			case got == http.StatusNotImplemented, got == http.StatusNotFound && s.realm != guard.Open && want != 401:
				// Not built yet, or nothing there: who asked was believed.
				if c.Status == 401 {
					t.Errorf("%s as %s: %d, want %d", name, c.Name, got, want)
				}
			case want == 0 && refused, want != 0 && got != want:
				t.Errorf("%s as %s: %d, want %d", name, c.Name, got, want)
			}
			if got == 401 && header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s as %s: 401 without a challenge", name, c.Name)
			}
			if want != 0 {
				refusals++
			}
		}
	}
	t.Logf("%d requests, %d of them to be refused", asked, refusals)
	if lines := strings.Count(log.String(), `"audit: refused"`); lines < refusals*9/10 {
		t.Errorf("%d refusals, %d lines in the audit log", refusals, lines)
	}
	for _, secret := range authtest.Secrets {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the audit log holds %q", secret)
		}
	}
}
