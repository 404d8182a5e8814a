package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/ratelimit"
)

func TestEveryRouteSaysWhatItAsks(t *testing.T) {
	e := newMatrix(t).edge()
	for path := range e.handlers() {
		if _, declared := routeTable[path]; !declared {
			t.Errorf("%s: add a row to routeTable", path)
		}
	}
	for path, access := range routeTable {
		if access.Realm == 0 {
			t.Errorf("%s: its row names no realm", path)
		}
	}
}

func TestEveryCallSaysWhatItAsks(t *testing.T) {
	for number, name := range agentapi.Call_Type_name {
		if _, declared := callTable[agentapi.Call_Type(number)]; !declared {
			t.Errorf("%s: add a row to callTable", name)
		}
	}
}

func TestExecutorsSpeakForThemselves(t *testing.T) {
	m := newMatrix(t)
	e := m.edge()
	for _, c := range m.all {
		for _, framework := range []string{"web", "web-b"} {
			body := `{"type":"MESSAGE","framework_id":{"value":"f-` + framework + `"},"executor_id":{"value":"mark-` + framework + `.executor"},"message":{"data":"eA=="}}`
			w := e.ask(sample{method: "POST", path: "/api/v1/executor", body: body}, c.Authorization)
			want := http.StatusUnauthorized
			switch c.Root {
			case "":
			case "c-" + framework:
				want = http.StatusServiceUnavailable // the core is not there
			default:
				want = http.StatusForbidden
			}
			if w.Code != want {
				t.Errorf("%s for %s: %d %s, want %d", c.Name, framework, w.Code, w.Body, want)
			}
		}
	}
}

// TestExecutorsLaunchAsThoseOfTheirTasks: an executor is let launch in its own container, but not become root.
func TestExecutorsLaunchAsThoseOfTheirTasks(t *testing.T) {
	m := newMatrix(t)
	for user, want := range map[string]int{"webuser": 200, "root": 403, "webuser-b": 403} {
		body := `{"type":"LAUNCH_NESTED_CONTAINER","launch_nested_container":{"container_id":{"value":"x","parent":{"value":"c-web"}},"command":{"value":"x","user":"` + user + `"}}}`
		if w := m.edge().ask(sample{method: "POST", path: "/api/v1", body: body}, m.by("executor of web").Authorization); w.Code != want {
			t.Errorf("as %s: %d %s, want %d", user, w.Code, w.Body, want)
		}
	}
}

// TestCommandsRunAsTheUserTheyAreAskedAbout: a container that names no user runs as that of what it is in.
func TestCommandsRunAsTheUserTheyAreAskedAbout(t *testing.T) {
	m := newMatrix(t)
	for user, want := range map[string]string{"": "webuser", `,"user":"root"`: "root"} {
		e := m.edge()
		body := `{"type":"LAUNCH_NESTED_CONTAINER","launch_nested_container":{"container_id":{"value":"x","parent":{"value":"c-web"}},"command":{"value":"x"` + user + `}}}`
		w := e.ask(sample{method: "POST", path: "/api/v1", body: body}, m.by("admin").Authorization)
		if spec, ok := e.fake.Spec("c-web.x"); !ok || spec.User != want {
			t.Errorf("%d %s: launched %v as %q, want %q", w.Code, w.Body, ok, spec.User, want)
		}
		w = e.ask(sample{method: "POST", path: "/api/v1", body: body}, m.by("web").Authorization)
		if refused := w.Code == 403; refused != (want == "root") {
			t.Errorf("web as %s: %d", want, w.Code)
		}
	}
}

// TestQueriesShowWhatTheirSenderMayView has every query that shows what belongs to tenants.
func TestQueriesShowWhatTheirSenderMayView(t *testing.T) {
	m := newMatrix(t)
	e := m.edge()
	for _, query := range []string{"/state", "GET_STATE", "GET_FRAMEWORKS", "GET_EXECUTORS", "GET_TASKS", "GET_OPERATIONS", "GET_AGENT", "GET_CONTAINERS", "/containers"} {
		for _, c := range []struct {
			name         string
			own, sibling bool
		}{{"admin", true, true}, {"viewer", true, true}, {"web", true, false}, {"web-b", false, true}, {"nobody", false, false}, {"ops", false, false},
			{"executor of web", false, false}} {
			s := sample{method: "GET", path: query}
			if !strings.HasPrefix(query, "/") {
				s = sample{method: "POST", path: "/api/v1", body: callBody(query, "")}
			}
			w := e.ask(s, m.by(c.name).Authorization)
			body := w.Body.String()
			if w.Code == 403 && query == "/containers" {
				continue
			}
			own := strings.Contains(body, "mark-web.") || strings.Contains(body, `"web"`) || strings.Contains(body, `"f-web"`)
			sibling := strings.Contains(body, "mark-web-b.") || strings.Contains(body, `"web-b"`) || strings.Contains(body, `"f-web-b"`)
			if w.Code != 200 || own != c.own || sibling != c.sibling {
				t.Errorf("%s as %s: %d, shows web %v, web-b %v:\n%.900s", query, c.name, w.Code, own, sibling, body)
			}
			if flags := strings.Contains(body, `"work_dir"`); query == "/state" && flags != (c.name == "admin" || c.name == "viewer") {
				t.Errorf("/state as %s: shows options %v", c.name, flags)
			}
		}
	}
	for name, want := range map[string]bool{"admin": true, "viewer": true, "web": false, "ops": false} {
		body := `{"type":"GET_CONTAINERS","get_containers":{"show_nested":true,"show_standalone":true}}`
		w := e.ask(sample{method: "POST", path: "/api/v1", body: body}, m.by(name).Authorization)
		if got := strings.Contains(w.Body.String(), `"alone"`); got != want {
			t.Errorf("GET_CONTAINERS as %s shows the standalone container: %v", name, got)
		}
	}
}

// TestRelayedRequestsAreAskedAbout: who sent them is taken from the master, what they may do is not.
func TestRelayedRequestsAreAskedAbout(t *testing.T) {
	m := newMatrix(t)
	for _, c := range []struct {
		name, call string
		want       int
	}{
		{"web", callBody("KILL_CONTAINER", `{"container_id":{"value":"c-web"}}`), 200},
		{"web-b", callBody("KILL_CONTAINER", `{"container_id":{"value":"c-web"}}`), 403},
		{"", callBody("KILL_CONTAINER", `{"container_id":{"value":"c-web"}}`), 403},
		{"admin", callBody("GET_FLAGS", ""), 200},
		{"", callBody("GET_HEALTH", ""), 200},
		{"admin", callBody("PRUNE_IMAGES", "{}"), 403},
	} {
		e := m.edge()
		r := httptest.NewRequest("POST", "/api/v1", strings.NewReader(c.call))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://master:5050") // a page of the master, which has checked it
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r.WithContext(guard.Vouch(r.Context(), auth.Named(c.name))))
		if w.Code != c.want {
			t.Errorf("%q %s: %d %s, want %d", c.name, c.call, w.Code, w.Body, c.want)
		}
	}
	r := httptest.NewRequest("POST", "/api/v1/executor", strings.NewReader(`{"type":"HEARTBEAT"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	m.edge().ServeHTTP(w, r.WithContext(guard.Vouch(r.Context(), auth.Named("admin"))))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("the executor API over a relay: %d", w.Code)
	}
}

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	m := newMatrix(t)
	r := httptest.NewRequest("POST", "/api/v1", strings.NewReader(callBody("PRUNE_IMAGES", "{}")))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", m.by("admin").Authorization)
	r.Header.Set("Origin", "http://elsewhere")
	w := httptest.NewRecorder()
	m.edge().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestRatesHoldOperatorsAndNotExecutors gives a principal room for nothing.
func TestRatesHoldOperatorsAndNotExecutors(t *testing.T) {
	m := newMatrix(t)
	limits, err := ratelimit.Parse([]byte(`{"limits":[{"principal":"web","qps":0.001,"capacity":0}],"aggregate_default_qps":0.001,"aggregate_default_capacity":0}`))
	if err != nil {
		t.Fatal(err)
	}
	m.access.Limits, m.access.Audit = limits, audit.New(nil)
	e := m.edge()
	codes := map[int]bool{}
	for range 3 {
		codes[e.ask(sample{method: "GET", path: "/state"}, m.by("web").Authorization).Code] = true
		w := e.ask(sample{method: "POST", path: "/api/v1/executor", body: `{"type":"HEARTBEAT"}`}, m.by("executor of web").Authorization)
		if w.Code == http.StatusTooManyRequests {
			t.Error("an executor waits for operators")
		}
	}
	if !codes[http.StatusTooManyRequests] {
		t.Errorf("web got %v", codes)
	}
}

// TestWithoutOptionsEverybodyMayDoAnything is how `agora dev` has it.
func TestWithoutOptionsEverybodyMayDoAnything(t *testing.T) {
	e := newEdge(t, nil, guard.Access{})
	for name, s := range samples(t, e) {
		if s.method != "GET" {
			e = newEdge(t, nil, guard.Access{})
		}
		if w := e.ask(s, authtest.Basic("anybody")); w.Code == 401 || w.Code == 403 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
