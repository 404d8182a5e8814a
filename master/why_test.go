package master_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master"
)

type explained struct {
	Task       *struct{ State, Summary string }
	Frameworks []struct {
		ID    string
		Roles []struct {
			Role, Summary, Change string
			Agents                []struct {
				Hostname, Verdict, Reason string
				Lacks                     map[string]float64
				Holders                   []struct {
					Name  string `json:"framework_name"`
					Tasks []string
				}
			}
		}
	}
}

// why asks a master that has one agent and one framework with one role.
func why(t *testing.T, m *master.Master, question string) (answer explained, verdict string) {
	t.Helper()
	response, body := get(t, m, "/api/agora/why?"+question)
	if response.StatusCode != 200 {
		t.Fatalf("%s: %d %s", question, response.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(answer.Frameworks) != 1 || len(answer.Frameworks[0].Roles) != 1 || len(answer.Frameworks[0].Roles[0].Agents) != 1 {
		t.Fatalf("%s: %s", question, body)
	}
	return answer, answer.Frameworks[0].Roles[0].Agents[0].Verdict
}

func TestWhyAndTheHistoryOfOffers(t *testing.T) {
	m := startMaster(t, master.Deps{})
	startAgent(t, m)
	f := subscribe(t, m, codec.Protobuf, nil)
	offer := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
	id := url.QueryEscape(offer.GetFrameworkId().GetValue())
	answer, verdict := why(t, m, "framework="+id+"&need="+url.QueryEscape("cpus:1;mem:32"))
	if verdict != "IN_USE" || !strings.Contains(answer.Frameworks[0].Roles[0].Agents[0].Reason, "in use by") {
		t.Errorf("while all is offered: %+v", answer)
	}
	f.accept(offer, commandTask("t", offer.GetAgentId()))
	f.call(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum()}) // it was accepted with a filter of ten minutes
	hour := 3600.0
	next := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
	f.call(&scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{
		OfferIds: []*mesos.OfferID{next.GetId()}, Filters: &mesos.Filters{RefuseSeconds: &hour}}})
	if _, verdict = why(t, m, "framework="+id); verdict != "DECLINED" {
		t.Errorf("after a decline: %s", verdict)
	}
	if answer, verdict = why(t, m, "framework="+id+"&need=cpus:1000"); verdict != "TOO_SMALL" {
		t.Errorf("more than an agent has: %+v", answer)
	}
	if answer, _ = why(t, m, "task=t"); answer.Task == nil || answer.Task.State != "TASK_STAGING" {
		t.Errorf("a task: %+v", answer)
	}
	if _, verdict = why(t, m, "role=golden"); verdict != "DECLINED" {
		t.Errorf("of the role: %s", verdict)
	}
	f.call(&scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum()})
	if answer, _ = why(t, m, "framework="+id); !strings.Contains(answer.Frameworks[0].Roles[0].Change, "REVIVE") {
		t.Errorf("suppressed: %+v", answer)
	}
	for question, want := range map[string]int{"": 400, "framework=nobody": 404, "role=nobody": 404, "task=none": 404, "framework=" + id + "&need=cpus": 400,
		"framework=" + id + "&need=cpus:NaN": 400, "framework=" + id + "&agents=-1": 400, "framework=" + id + "&agent=none": 404} {
		if response, body := get(t, m, "/api/agora/why?"+question); response.StatusCode != want || body == "" {
			t.Errorf("%q: %d %q, want %d", question, response.StatusCode, body, want)
		}
	}
	_, body := get(t, m, "/api/agora/offers?framework="+id)
	var history struct {
		Offers []struct {
			ID, Outcome string
			Refusal     float64 `json:"refuse_seconds"`
			Operations  []string
		}
	}
	if err := json.Unmarshal([]byte(body), &history); err != nil || len(history.Offers) != 2 {
		t.Fatalf("%v %s", err, body)
	}
	declined, accepted := history.Offers[0], history.Offers[1]
	if declined.Outcome != "DECLINED" || declined.Refusal != 3600 || declined.ID != next.GetId().GetValue() ||
		accepted.Outcome != "ACCEPTED" || len(accepted.Operations) != 1 || accepted.Operations[0] != "LAUNCH" {
		t.Errorf("history %s", body)
	}
}
