package httpapi

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
)

// matrix is what the tests of who may do what share: an agent whose realms all ask.
type matrix struct {
	t      *testing.T
	tokens *Tokens
	access guard.Access
	all    []*authtest.Caller
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t}
	var err error
	if m.tokens, err = LoadTokens(filepath.Join(t.TempDir(), "key")); err != nil {
		t.Fatal(err)
	}
	m.all = m.callers()
	m.access.ACLs = authtest.ACLs(t, m.all)
	return m
}

// edge is a fresh agent, which has locked nobody out yet.
func (m *matrix) edge() *edge {
	access, realm := m.access, authtest.Realms(m.t, m.all, m.tokens.ForOperators())
	access.Readonly, access.Readwrite = realm(httpauth.AgentReadonly), realm(httpauth.AgentReadwrite)
	return newEdge(m.t, m.tokens, access)
}

func (m *matrix) by(name string) *authtest.Caller {
	return m.all[slices.IndexFunc(m.all, func(c *authtest.Caller) bool { return c.Name == name })]
}

// tenantActions are what a tenant may do to what its user owns.
var tenantActions = []auth.Action{auth.ViewFramework, auth.ViewTask, auth.ViewExecutor, auth.ViewContainer, auth.AccessSandbox, auth.LaunchNestedContainer,
	auth.LaunchNestedContainerAsUser, auth.WaitNestedContainer, auth.KillNestedContainer, auth.RemoveNestedContainer, auth.LaunchNestedContainerSession,
	auth.LaunchNestedContainerSessionAsUser, auth.AttachContainerInput, auth.AttachContainerOutput}

// callers are the twelve principals. Their names and objects include siblings that begin alike.
func (m *matrix) callers() []*authtest.Caller {
	basic := authtest.Basic
	tenant := func(name, user string) *authtest.Caller {
		c := &authtest.Caller{Name: name, Authorization: basic(name), Grants: map[auth.Action][]string{auth.ViewRole: {name}}}
		for _, action := range tenantActions {
			c.Grants[action] = []string{user}
		}
		return c
	}
	executor := func(name string) *authtest.Caller {
		key := core.ExecutorKey{Framework: core.FrameworkID("f-" + name), Executor: core.ExecutorID("mark-" + name + ".executor")}
		return &authtest.Caller{Name: "executor of " + name, Root: "c-" + name, Authorization: "Bearer " + m.tokens.Sign(key, containerizer.ID("c-"+name))}
	}
	return append(authtest.Strangers(m.t), []*authtest.Caller{
		executor("web"), executor("web-b"), tenant("web", "webuser"), tenant("web-b", "webuser-b"),
		{Name: "admin", Authorization: basic("admin"), Grants: authtest.Everything()},
		{Name: "nobody", Authorization: basic("nobody")},
		{Name: "viewer", Authorization: authtest.Bearer(m.t, map[string]any{"sub": "viewer", "exp": authtest.Hour()}), Grants: map[auth.Action][]string{
			auth.ViewFramework: {"*"}, auth.ViewTask: {"*"}, auth.ViewExecutor: {"*"}, auth.ViewContainer: {"*"}, auth.ViewRole: {"*"}, auth.ViewFlags: {"*"},
			auth.ViewStandaloneContainer: {"*"}, auth.GetEndpoint: {"/metrics/snapshot", "/containers", "/monitor/statistics"}}},
		{Name: "ops", Authorization: basic("ops"), Grants: map[auth.Action][]string{
			auth.LaunchStandaloneContainer: {"*"}, auth.WaitStandaloneContainer: {"*"}, auth.KillStandaloneContainer: {"*"}, auth.RemoveStandaloneContainer: {"*"},
			auth.PruneImages: {"*"}, auth.SetLogLevel: {"*"}, auth.AccessMesosLog: {"*"}, auth.ModifyResourceProviderConfig: {"*"},
			auth.GetEndpoint: {"/logging/toggle", "/files/debug", "/containerizer/debug"}}},
	}...)
}

// sample is a request of one route or call, and what its sender has to be allowed.
type sample struct {
	method, path, body string
	realm              guard.Realm
	asks               []auth.Question
	// root is the executor's container that it is about.
	root string
}

var asks = authtest.Asks

// both asks two things of one user.
func both(one, other auth.Action, user string) []auth.Question {
	return append(asks(one, user), asks(other, user)...)
}

// containerCalls are the calls about a container: the body with ID in place of the container and NEW of one in it, and what
// it asks about a user.
var containerCalls = map[agentapi.Call_Type]struct {
	body string
	asks func(user string) []auth.Question
	// alone is asked about a container without an executor.
	alone auth.Action
}{
	agentapi.Call_LAUNCH_CONTAINER: {`{"container_id":NEW,"command":{"value":"x"}}`, func(u string) []auth.Question {
		return both(auth.LaunchNestedContainer, auth.LaunchNestedContainerAsUser, u)
	}, auth.LaunchStandaloneContainer},
	agentapi.Call_LAUNCH_NESTED_CONTAINER: {`{"container_id":NEW,"command":{"value":"x"}}`, func(u string) []auth.Question {
		return both(auth.LaunchNestedContainer, auth.LaunchNestedContainerAsUser, u)
	}, auth.LaunchStandaloneContainer},
	agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION: {`{"container_id":NEW,"command":{"value":"x"}}`, func(u string) []auth.Question {
		return both(auth.LaunchNestedContainerSession, auth.LaunchNestedContainerSessionAsUser, u)
	}, auth.LaunchNestedContainerSession},
	agentapi.Call_WAIT_CONTAINER:          {`{"container_id":ID}`, about(auth.WaitNestedContainer), auth.WaitStandaloneContainer},
	agentapi.Call_WAIT_NESTED_CONTAINER:   {`{"container_id":ID}`, about(auth.WaitNestedContainer), auth.WaitStandaloneContainer},
	agentapi.Call_KILL_CONTAINER:          {`{"container_id":ID}`, about(auth.KillNestedContainer), auth.KillStandaloneContainer},
	agentapi.Call_KILL_NESTED_CONTAINER:   {`{"container_id":ID}`, about(auth.KillNestedContainer), auth.KillStandaloneContainer},
	agentapi.Call_REMOVE_CONTAINER:        {`{"container_id":ID}`, about(auth.RemoveNestedContainer), auth.RemoveStandaloneContainer},
	agentapi.Call_REMOVE_NESTED_CONTAINER: {`{"container_id":ID}`, about(auth.RemoveNestedContainer), auth.RemoveStandaloneContainer},
	agentapi.Call_ATTACH_CONTAINER_OUTPUT: {`{"container_id":ID}`, about(auth.AttachContainerOutput), auth.AttachContainerOutput},
}

func about(action auth.Action) func(string) []auth.Question {
	return func(user string) []auth.Question { return asks(action, user) }
}

// otherCalls are the calls that need a body or ask for something, and are not about a container.
var otherCalls = map[agentapi.Call_Type]sample{
	agentapi.Call_GET_FLAGS:                       {asks: asks(auth.ViewFlags)},
	agentapi.Call_GET_METRICS:                     {body: `{}`},
	agentapi.Call_SET_LOGGING_LEVEL:               {body: `{"level":1,"duration":{"nanoseconds":1}}`, asks: asks(auth.SetLogLevel)},
	agentapi.Call_PRUNE_IMAGES:                    {body: `{}`, asks: asks(auth.PruneImages)},
	agentapi.Call_LIST_FILES:                      {body: `{"path":"/frameworks/f-web/executors/mark-web.executor/runs/latest"}`, asks: asks(auth.AccessSandbox, "webuser")},
	agentapi.Call_READ_FILE:                       {body: `{"path":"/slave/log","offset":0}`, asks: asks(auth.AccessMesosLog)},
	agentapi.Call_ADD_RESOURCE_PROVIDER_CONFIG:    {body: `{"info":{"type":"t","name":"n"}}`, asks: asks(auth.ModifyResourceProviderConfig)},
	agentapi.Call_UPDATE_RESOURCE_PROVIDER_CONFIG: {body: `{"info":{"type":"t","name":"n"}}`, asks: asks(auth.ModifyResourceProviderConfig)},
	agentapi.Call_REMOVE_RESOURCE_PROVIDER_CONFIG: {body: `{"type":"t","name":"n"}`, asks: asks(auth.ModifyResourceProviderConfig)},
	agentapi.Call_MARK_RESOURCE_PROVIDER_GONE:     {body: `{"resource_provider_id":{"value":"x"}}`, asks: asks(auth.MarkResourceProviderGone)},
}

const webStdout = "?path=/frameworks/f-web/executors/mark-web.executor/runs/latest/stdout"

// routeSamples are the routes that need more than a GET, or ask for something.
var routeSamples = map[string]sample{
	"/flags":               {asks: asks(auth.ViewFlags)},
	"/containers":          {asks: asks(auth.GetEndpoint, "/containers")},
	"/api/agora/pulls":     {asks: asks(auth.GetEndpoint, "/containers")},
	"/monitor/statistics":  {asks: asks(auth.GetEndpoint, "/monitor/statistics")},
	"/containerizer/debug": {asks: asks(auth.GetEndpoint, "/containerizer/debug")},
	"/metrics/snapshot":    {asks: asks(auth.GetEndpoint, "/metrics/snapshot")},
	"/metrics/prometheus":  {asks: asks(auth.GetEndpoint, "/metrics/snapshot")},
	"/files/debug":         {asks: asks(auth.GetEndpoint, "/files/debug")},
	"/files/browse":        {path: "/files/browse" + strings.TrimSuffix(webStdout, "/stdout"), asks: asks(auth.AccessSandbox, "webuser")},
	"/files/read":          {path: "/files/read" + webStdout, asks: asks(auth.AccessSandbox, "webuser")},
	"/files/download":      {path: "/files/download" + webStdout, asks: asks(auth.AccessSandbox, "webuser")},
	"/logging/toggle":      {method: "POST", path: "/logging/toggle?level=1&duration=1secs", asks: asks(auth.GetEndpoint, "/logging/toggle")},
	"/api/agora/forward": {method: "POST", path: "/api/agora/forward?container_id=c-web.task&port=80", root: "c-web",
		asks: both(auth.AttachContainerInput, auth.AttachContainerOutput, "webuser")},
}

// plain are the routes that are asked by a GET and ask for nothing but a name.
var plain = []string{"/state", "/health", "/version", "/help", "/system/stats"}

// attachInput is the first record of an attached input.
func attachInput(id string) string {
	record := `{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID","container_id":` + id + `}}`
	return strconv.Itoa(len(record)) + "\n" + record
}

// samples lists one request for every route of the server and every call, and fails where none is known.
func samples(t *testing.T, e *edge) map[string]sample {
	t.Helper()
	all := map[string]sample{}
	for path := range e.handlers() {
		s, special := routeSamples[path]
		switch {
		case path == "/api/v1", path == "/api/v1/executor": // the calls; TestExecutorsSpeakForThemselves
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
		all[path] = s
	}
	for number, name := range agentapi.Call_Type_name {
		kind := agentapi.Call_Type(number)
		if c, ok := containerCalls[kind]; ok {
			for _, s := range containerSamples(name, c.body, c.asks, c.alone) {
				all[name+" "+s.root] = s
			}
			continue
		}
		s := otherCalls[kind]
		if kind == agentapi.Call_ATTACH_CONTAINER_INPUT {
			s.body = attachInput(`{"value":"c-web"}`)
			s.asks, s.root = asks(auth.AttachContainerInput, "webuser"), "c-web"
		} else {
			if access := callTable[kind]; (access.action != auth.None || access.path || access.nested != auth.None) && s.asks == nil {
				t.Errorf("%s: add the call to otherCalls or containerCalls", name)
			}
			s.body = callBody(name, s.body)
		}
		s.method, s.path, s.realm = "POST", "/api/v1", guard.Readwrite
		all[name] = s
	}
	return all
}

func callBody(name, member string) string {
	if member == "" {
		return `{"type":"` + name + `"}`
	}
	return `{"type":"` + name + `","` + strings.ToLower(name) + `":` + member + `}`
}

// containerSamples asks about the container of each tenant, and about the one that no executor has.
func containerSamples(name, body string, ask func(string) []auth.Question, alone auth.Action) (all []sample) {
	for _, tenant := range []string{"web", "web-b", "alone"} {
		id, s := `{"value":"task","parent":{"value":"c-`+tenant+`"}}`, sample{method: "POST", path: "/api/v1", realm: guard.Readwrite}
		s.asks, s.root = ask(strings.Replace(tenant, "web", "webuser", 1)), "c-"+tenant
		if tenant == "alone" {
			id, s.asks, s.root = `{"value":"new","parent":{"value":"alone"}}`, asks(alone), "alone"
		}
		inside := `{"value":"made","parent":` + id + `}`
		s.body = callBody(name, strings.NewReplacer("NEW", inside, "ID", id).Replace(body))
		all = append(all, s)
	}
	return all
}

// ownActions are what an executor may do to containers in its own.
var ownActions = []auth.Action{auth.LaunchNestedContainer, auth.LaunchNestedContainerAsUser, auth.WaitNestedContainer, auth.KillNestedContainer,
	auth.RemoveNestedContainer, auth.LaunchNestedContainerSession, auth.LaunchNestedContainerSessionAsUser, auth.AttachContainerOutput}

// expected is what the table says: 401, 403, or 0 for being let in.
func expected(c *authtest.Caller, s sample) int {
	switch {
	case s.realm == guard.Open:
		return 0
	case c.Root == "":
		return c.Expected(s.asks)
	}
	for _, q := range s.asks {
		if c.Root != s.root || !slices.Contains(ownActions, q.Action) {
			return http.StatusForbidden
		}
	}
	return 0
}

// ask sends a sample. Who is let wait, or read a stream, does so until the context ends.
func (e *edge) ask(s sample, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(s.method, s.path, strings.NewReader(s.body))
	r.Header.Set("Content-Type", "application/json")
	if strings.Contains(s.body, "ATTACH_CONTAINER_INPUT") {
		r.Header.Set("Content-Type", "application/recordio")
		r.Header.Set("Message-Content-Type", "application/json")
	}
	if strings.HasPrefix(s.path, "/api/agora/forward") {
		r.Header.Set("Upgrade", ForwardProtocol)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
	defer cancel()
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r.WithContext(ctx))
	return w
}

// TestMatrix asks every route and call as twelve principals, of a fresh agent when the request before
// may have changed something.
func TestMatrix(t *testing.T) {
	m := newMatrix(t)
	if len(m.all) != 12 {
		t.Fatalf("%d principals", len(m.all))
	}
	e := m.edge()
	rows := samples(t, e)
	refusals, asked, log := 0, 0, ""
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		for _, c := range m.all {
			s := rows[name]
			w := e.ask(s, c.Authorization)
			asked++
			want := expected(c, s)
			refused := w.Code == 401 || w.Code == 403
			if want == 0 && refused || want != 0 && w.Code != want {
				t.Errorf("%s as %s: %d %s, want %d", name, c.Name, w.Code, w.Body, want)
			}
			if w.Code == 401 && w.Header().Get("WWW-Authenticate") != `Basic realm="`+realmName(s.realm)+`", Bearer realm="`+realmName(s.realm)+`"` {
				t.Errorf("%s as %s: 401 with the challenge %s", name, c.Name, w.Header().Get("WWW-Authenticate"))
			}
			if want != 0 {
				refusals++
			}
			if want == 0 && s.method != "GET" {
				log += e.log.String()
				e = m.edge()
			}
		}
	}
	log += e.log.String()
	t.Logf("%d requests, %d of them to be refused", asked, refusals)
	if lines := strings.Count(log, `"audit: refused"`); lines != refusals {
		t.Errorf("%d refusals, %d lines in the audit log", refusals, lines)
	}
	for _, secret := range authtest.Secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the audit log holds %q", secret)
		}
	}
	var changes strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"audit: changed"`) {
			changes.WriteString(line)
		}
	}
	for _, change := range []string{`"what":"KILL_CONTAINER"`, `"what":"LAUNCH_NESTED_CONTAINER"`, `"what":"LAUNCH_NESTED_CONTAINER_SESSION"`, `"what":"PRUNE_IMAGES"`,
		`"what":"SET_LOGGING_LEVEL"`, `"what":"/logging/toggle"`, `"what":"ATTACH_CONTAINER_INPUT"`, `"what":"port of container c-web.task"`,
		`"principal":"executor mark-web.executor of framework f-web in container c-web"`, `container c-web.task.made as webuser"`} {
		if !strings.Contains(changes.String(), change) {
			t.Errorf("the audit log has no change %s", change)
		}
	}
}

func realmName(r guard.Realm) string {
	if r == guard.Readonly {
		return httpauth.AgentReadonly
	}
	return httpauth.AgentReadwrite
}
