package httpapi

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// populated fills an edge with two tenants whose names are siblings, "web" and "web-b": a framework
// with a task of a custom executor each, reservations, weights and quotas. What belongs to a tenant is
// marked "mark-web." or "mark-web-b.".
func populated(t *testing.T, e *edge) *edge {
	t.Helper()
	parse := func(text string) []*mesos.Resource {
		parsed, err := resources.Parse(text, "*")
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Proto()
	}
	e.step(core.AgentLinkOpened{Link: 1, IP: "127.0.0.1", Principal: "agents"})
	info := &mesos.AgentInfo{Hostname: ptr("localhost"), Port: ptr(int32(5051)), Resources: parse("cpus:8;mem:8192")}
	e.step(core.AgentMessage{Link: 1, Message: &link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{
		Version: ptr("1.12.0"), Agent: info}}}})
	for i, tenant := range []string{"web", "web-b"} {
		conn := core.ConnID(i + 1)
		id := "m-000" + string(rune('0'+i))
		framework := &mesos.FrameworkInfo{User: ptr(strings.Replace(tenant, "web", "webuser", 1)), Name: ptr("mark-" + tenant + "."), Principal: &tenant,
			Roles: []string{tenant}, FailoverTimeout: ptr(60.0), Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
		e.step(core.FrameworkSubscribed{Conn: conn, Principal: tenant, Call: &scheduler.Call_Subscribe{FrameworkInfo: framework}})
		e.step(core.Offered{Offers: []core.AllocatorOffer{{Framework: core.FrameworkID(id), Role: tenant, Agent: "m-S0",
			Resources: parse("cpus:2;mem:128"), QuotaChanges: uint64(i)}}})
		name := "mark-" + tenant + ".task"
		executor := &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: ptr("mark-" + tenant + ".executor")}, Command: &mesos.CommandInfo{Value: ptr("x")},
			Resources: parse("mem:32;cpus:0.1")}
		task := &mesos.TaskInfo{Name: &name, TaskId: &mesos.TaskID{Value: &name}, AgentId: &mesos.AgentID{Value: ptr("m-S0")},
			Executor: executor, Resources: parse("cpus:1;mem:32")}
		e.step(core.SchedulerCall{Conn: conn, StreamID: "s", Principal: tenant, Call: &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(),
			FrameworkId: &mesos.FrameworkID{Value: &id}, Accept: &scheduler.Call_Accept{
				OfferIds:   []*mesos.OfferID{{Value: ptr("m-O" + string(rune('0'+i)))}},
				Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}}}})
		e.step(core.OperatorCall{Call: core.UpdateWeights{Weights: []*mesos.WeightInfo{{Role: &tenant, Weight: ptr(2.5)}}}})
		e.step(core.OperatorCall{Call: core.UpdateQuota{Configs: []*quota.QuotaConfig{{Role: &tenant, Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: ptr(7.0)}}}}}})
	}
	return e
}

// get reads a path, or sends a call of that type, as c.
func (e *edge) get(c *authtest.Caller, what string) (int, string) {
	r := httptest.NewRequest("GET", "/"+strings.TrimPrefix(what, "/"), nil)
	if !strings.HasPrefix(what, "/") {
		r = httptest.NewRequest("POST", "/api/v1", strings.NewReader(`{"type":"`+what+`"}`))
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Authorization != "" {
		r.Header.Set("Authorization", c.Authorization)
	}
	status, _, body := e.serve(r)
	return status, body
}

// filteredQueries are the queries that show what belongs to tenants.
var filteredQueries = []string{"/state", "/state-summary", "/frameworks", "/tasks", "/roles", "/weights", "/quota", "/slaves",
	"GET_STATE", "GET_FRAMEWORKS", "GET_TASKS", "GET_EXECUTORS", "GET_ROLES", "GET_WEIGHTS", "GET_QUOTA", "GET_AGENTS", "GET_OPERATIONS"}

func TestQueriesShowWhatTheirSenderMayView(t *testing.T) {
	all := callers(t)
	var log strings.Builder
	e := populated(t, secured(t, all, &log))
	by := func(name string) *authtest.Caller {
		return all[slices.IndexFunc(all, func(c *authtest.Caller) bool { return c.Name == name })]
	}
	marks := func(body string) (own, sibling bool) {
		return strings.Contains(body, "mark-web.") || strings.Contains(body, `"web"`), strings.Contains(body, "mark-web-b.") || strings.Contains(body, `"web-b"`)
	}
	for _, query := range filteredQueries {
		for _, c := range []struct {
			name                string
			own, sibling, exact bool
		}{{"admin", true, true, true}, {"viewer", true, true, true}, {"web", true, false, true}, {"web-b", false, true, true},
			{"nobody", false, false, false}, {"ops", false, false, false}, {"agents", false, false, false}} {
			status, body := e.get(by(c.name), query)
			own, sibling := marks(body)
			empty := query == "GET_OPERATIONS"
			if status != 200 || own != (c.own && !empty) || sibling != (c.sibling && !empty) {
				t.Errorf("%s as %s: %d, shows web %v, web-b %v:\n%.1500s", query, c.name, status, own, sibling, body)
			}
		}
	}
}

func TestEventsShowWhatTheirSubscriberMayView(t *testing.T) {
	all := callers(t)
	var log strings.Builder
	e := populated(t, secured(t, all, &log))
	for _, c := range []struct {
		name      string
		own, next bool
	}{{"admin", true, true}, {"web", true, false}, {"web-b", false, true}, {"nobody", false, false}} {
		r := httptest.NewRequest("POST", "/api/v1", nil)
		v := e.viewer(httpauth.WithPrincipal(r, auth.Named(c.name)))
		for f := range e.core.Snapshot().Frameworks.All() {
			want := c.own
			if f.Info.GetName() == "mark-web-b." {
				want = c.next
			}
			for task := range f.Tasks.All() {
				for _, event := range []core.OperatorEvent{{Type: core.TaskAdded, Task: task, Owner: f.Info}, {Type: core.TaskUpdated, Task: task, Owner: f.Info}} {
					if _, any := v.event(event); any != want {
						t.Errorf("%s: task event of %s: %v", c.name, f.Info.GetName(), any)
					}
				}
			}
			for _, kind := range []core.OperatorEventType{core.FrameworkAdded, core.FrameworkUpdated, core.FrameworkRemoved} {
				if _, any := v.event(core.OperatorEvent{Type: kind, Framework: f}); any != want {
					t.Errorf("%s: %v of %s: %v", c.name, kind, f.Info.GetName(), any)
				}
			}
		}
		for agent := range e.core.Snapshot().Agents.All() {
			seen, any := v.event(core.OperatorEvent{Type: core.AgentAdded, Agent: agent})
			if !any {
				t.Errorf("%s: AGENT_ADDED is hidden", c.name)
			}
			encoded, err := codec.Marshal(codec.JSON, seen.Proto())
			if err != nil {
				t.Fatal(err)
			}
			text := string(encoded)
			if strings.Contains(text, `"web"`) != c.own || strings.Contains(text, `"web-b"`) != c.next {
				t.Errorf("%s: AGENT_ADDED shows %s", c.name, text)
			}
		}
	}
}
