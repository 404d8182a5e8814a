package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// withAgent registers the agent of the recordings.
func (e *edge) withAgent(t *testing.T) {
	t.Helper()
	total, err := resources.Parse("cpus:8;mem:8192;disk:10000;ports:[31000-32000]", "*")
	if err != nil {
		t.Fatal(err)
	}
	e.step(core.AgentLinkOpened{Link: 1, IP: "127.0.0.1"})
	e.step(core.AgentMessage{Link: 1, Message: &link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{
		Version: ptr("1.12.0"), Agent: &mesos.AgentInfo{Hostname: ptr("localhost"), Port: ptr(int32(5051)), Resources: total.Proto()}}}}})
}

// ask serves a request with a JSON body.
func (e *edge) ask(method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	status, _, answer := e.serve(r)
	return status, answer
}

// replay sends recorded requests in the order of names, and compares each answer.
func replay(t *testing.T, e *edge, dir string, names ...string) {
	t.Helper()
	recorded := golden(t, dir+"/*.http")
	for _, name := range names {
		want, ok := recorded[name]
		if !ok {
			t.Errorf("%s/%s is not recorded", dir, name)
			continue
		}
		status, header, body := e.serve(want.request)
		if sameJSON(body, want.body) {
			body = want.body
		}
		compare(t, name, want, status, header, body)
	}
}

// sameJSON compares without the order of members, and of roles in a list.
func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

func TestRefusedQuotasAreAnsweredAsRecorded(t *testing.T) {
	e := newEdge(t)
	e.withAgent(t)
	replay(t, e, "errors/master-operator", "sem-quota-badrole.http", "sem-quota-guarantee-gt-limit.http", "sem-quota-huge.http",
		"sem-quota-negative.http", "sem-quota-overcommit.http", "sem-quota-dup.http", "sem-quota-star.http", "sem-set-quota-deprecated.http",
		"sem-set-quota-again.http", "sem-set-quota-overcommit.http", "sem-remove-quota.http")
}

func TestLegacySettingsAreAnsweredAsRecorded(t *testing.T) {
	e := newEdge(t)
	e.withAgent(t)
	replay(t, e, "errors/master-v0", "quota-post-norole.http", "quota-post-ok.http", "quota-delete.http", "quota-delete-missing.http",
		"quota-put.http", "quota-post-bad.http", "weights-post.http", "weights-put-bad.http", "weights-put-notarray.http", "weights-put-ok.http")
}

func TestSettingsAreShownAsRecorded(t *testing.T) {
	e := newEdge(t)
	replay(t, e, "empty-no-agent/master-v1", "GET_WEIGHTS.http", "GET_QUOTA.http", "GET_ROLES.http")
	replay(t, e, "empty-no-agent/master-v0", "weights.http", "quota.http", "roles.http")
	e.withAgent(t)
	replay(t, e, "maintenance-drain", "01-UPDATE_WEIGHTS.http", "03-UPDATE_QUOTA.http", "04-GET_QUOTA.http", "04-quota-v0.http")
	want := `[{"role":"golden","weight":2.0},{"role":"other","weight":0.5}]`
	if status, got := e.ask("GET", "/master/weights", ""); status != 200 || got != want {
		t.Errorf("weights: %d %s", status, got)
	}
	if _, got := e.ask("POST", "/api/v1", `{"type":"GET_WEIGHTS"}`); !sameJSON(got, `{"type":"GET_WEIGHTS","get_weights":{"weight_infos":`+want+`}}`) {
		t.Errorf("weights of the API: %s", got)
	}
}

// TestRolesShowQuotaAndConsumption has a framework in a/b, an offer to it, a weight and a quota of a.
func TestRolesShowQuotaAndConsumption(t *testing.T) {
	e := newEdge(t)
	e.withAgent(t)
	e.step(core.FrameworkSubscribed{Conn: 1, Call: &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: ptr("u"), Name: ptr("n"),
		Roles: []string{"a/b"}, Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}}})
	for _, call := range []string{
		`{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"a","weight":3}]}}`,
		`{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"a","guarantees":{"cpus":{"value":1}},"limits":{"cpus":{"value":4}}}]}}`,
	} {
		if status, text := e.ask("POST", "/api/v1", call); status != 200 {
			t.Fatalf("%s: %d %s", call, status, text)
		}
	}
	offered, err := resources.Parse("cpus:2;mem:64", "*")
	if err != nil {
		t.Fatal(err)
	}
	e.step(core.Offered{Offers: []core.AllocatorOffer{{Framework: "m-0000", Role: "a/b", Agent: "m-S0", Resources: offered.Proto(), QuotaChanges: 1}}})
	const amounts = `"resources":{"cpus":2.0,"mem":64.0},"allocated":{},"offered":{"cpus":2.0,"mem":64.0},"reserved":{},`
	want := `{"roles":[{"name":"a","weight":3.0,"quota":{"role":"a","guarantee":{"cpus":1.0},"limit":{"cpus":4.0},"consumed":{}},` + amounts +
		`"frameworks":[]},{"name":"a/b","weight":1.0,"quota":{"role":"a/b","guarantee":{},"limit":{},"consumed":{}},` + amounts + `"frameworks":["m-0000"]}]}`
	if _, got := e.ask("GET", "/roles", ""); got != want {
		t.Errorf("roles:\n got %s\nwant %s", got, want)
	}
}
