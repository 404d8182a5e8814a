package httpapi

import (
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

const recordedAgent = "790b0a89-a200-4118-824d-de5daf9c3b76-S"

// withRecorded lets the agent of the recordings return, by its own id.
func (e *edge) withRecorded(t *testing.T, id string) {
	t.Helper()
	total, err := resources.Parse("cpus:8;mem:8192;disk:10000;ports:[31000-32000]", "*")
	if err != nil {
		t.Fatal(err)
	}
	e.step(core.AgentLinkOpened{Link: 1, IP: "127.0.0.1"})
	e.step(fromAgent(&link.FromAgent{Message: &link.FromAgent_Reregister{Reregister: &link.Reregister{
		Version: ptr("1.12.0"), Capabilities: []*mesos.AgentInfo_Capability{{Type: mesos.AgentInfo_Capability_AGENT_DRAINING.Enum()}},
		Agent: &mesos.AgentInfo{Id: &mesos.AgentID{Value: &id}, Hostname: ptr("localhost"), Port: ptr(int32(5051)), Resources: total.Proto()}}}}))
}

func fromAgent(m *link.FromAgent) core.Event { return core.AgentMessage{Link: 1, Message: m} }

func TestMaintenanceIsAnsweredAsRecorded(t *testing.T) {
	e := newEdge(t)
	replay(t, e, "empty-no-agent/master-v1", "GET_MAINTENANCE_SCHEDULE.http", "GET_MAINTENANCE_STATUS.http")
	replay(t, e, "empty-no-agent/master-v0", "maintenance-schedule.http", "maintenance-status.http")
	e.withRecorded(t, recordedAgent+"0")
	replay(t, e, "maintenance-drain", "06-UPDATE_MAINTENANCE_SCHEDULE.http", "07-GET_MAINTENANCE_SCHEDULE.http", "07-schedule-v0.http",
		"10-DEACTIVATE_AGENT.http", "12-REACTIVATE_AGENT.http", "13-DRAIN_AGENT.http", "13b-DRAIN_AGENT-object-duration.http",
		"16-REACTIVATE_AGENT.http", "17-START_MAINTENANCE.http", "18-GET_AGENTS-down.http", "18-GET_MAINTENANCE_STATUS-down.http",
		"19-STOP_MAINTENANCE.http", "20-GET_MAINTENANCE_SCHEDULE-up.http", "20-GET_MAINTENANCE_STATUS-up.http")
	replay(t, e, "errors/master-v0", "machine-down-bad.http", "machine-down-get.http", "machine-down-unsched.http", "machine-up-bad.http",
		"maintenance-schedule-bad.http")
}

func TestDrainIsAnsweredAsRecorded(t *testing.T) {
	e := newEdge(t)
	e.withRecorded(t, recordedAgent+"1")
	replay(t, e, "drain", "1-DRAIN_AGENT.http")
	agents := func(want string) {
		t.Helper()
		if _, got := e.ask("POST", "/api/v1", `{"type":"GET_AGENTS"}`); !strings.Contains(got, want) {
			t.Errorf("want %s in\n%s", want, got)
		}
	}
	agents(`"active":false,"version":"1.12.0"`)
	agents(`"drain_info":{"state":"DRAINING","config":{"max_grace_period":{"nanoseconds":2000000000},"mark_gone":false}},"estimated_drain_start_time":{"nanoseconds":`)
	if _, got := e.ask("GET", "/slaves", ""); !strings.Contains(got, `"drain_info":{"state":"DRAINING","config":{"max_grace_period":{"nanoseconds":2000000000},"mark_gone":false}},"estimated_drain_start_time_seconds":`) {
		t.Errorf("slaves: %s", got)
	}
	replay(t, e, "drain", "2b-DRAIN_AGENT-again.http")
	e.step(fromAgent(&link.FromAgent{Message: &link.FromAgent_Drained{Drained: &link.Drained{}}}))
	agents(`"drain_info":{"state":"DRAINED","config":{"mark_gone":false}},"estimated_drain_start_time":{"nanoseconds":`)
	replay(t, e, "drain", "4-REACTIVATE_AGENT.http")
	agents(`"active":true`)
	replay(t, e, "drain", "6-MARK_AGENT_GONE.http", "7-GET_AGENTS-gone.http", "8-MARK_AGENT_GONE-again.http")
}

// TestInverseOffersAndAnswersAreShown has a framework with a task there, which declines.
func TestInverseOffersAndAnswersAreShown(t *testing.T) {
	e := newEdge(t)
	e.withRecorded(t, recordedAgent+"0")
	e.step(core.FrameworkSubscribed{Conn: 1, Call: &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: ptr("u"), Name: ptr("n"),
		Roles: []string{"r"}, Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}}})
	given, err := resources.Parse("cpus:1;mem:64", "*")
	if err != nil {
		t.Fatal(err)
	}
	e.step(core.Offered{Offers: []core.AllocatorOffer{{Framework: "m-0000", Role: "r", Agent: recordedAgent + "0", Resources: given.Proto(), QuotaChanges: 0}}})
	call := func(c *scheduler.Call) {
		c.FrameworkId = &mesos.FrameworkID{Value: ptr("m-0000")}
		e.step(core.SchedulerCall{Conn: 1, Call: c})
	}
	task := &mesos.TaskInfo{Name: ptr("t"), TaskId: &mesos.TaskID{Value: ptr("t")}, AgentId: &mesos.AgentID{Value: ptr(recordedAgent + "0")},
		Resources: given.Proto(), Command: &mesos.CommandInfo{Value: ptr("true")}}
	call(&scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{{Value: ptr("m-O0")}},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}}})
	replay(t, e, "maintenance-drain", "06-UPDATE_MAINTENANCE_SCHEDULE.http")
	outstanding := func() string {
		_, got := e.ask("POST", "/api/v1", `{"type":"GET_FRAMEWORKS"}`)
		return got
	}
	if got := outstanding(); !strings.Contains(got, `"inverse_offers":[{"id":{"value":"m-O1"}`) {
		t.Errorf("the outstanding inverse offer is not shown: %s", got)
	}
	call(&scheduler.Call{Type: scheduler.Call_DECLINE_INVERSE_OFFERS.Enum(), DeclineInverseOffers: &scheduler.Call_DeclineInverseOffers{
		InverseOfferIds: []*mesos.OfferID{{Value: ptr("m-O1")}}}})
	if got := outstanding(); strings.Contains(got, "inverse_offers") {
		t.Errorf("an answered inverse offer is shown: %s", got)
	}
	const want = `{"draining_machines":[{"id":{"hostname":"localhost","ip":"127.0.0.1"},"statuses":[{"status":"DECLINE","framework_id":{"value":"m-0000"},"timestamp":{"nanoseconds":`
	if _, got := e.ask("GET", "/maintenance/status", ""); !strings.HasPrefix(got, want) {
		t.Errorf("status: %s", got)
	}
	if _, got := e.ask("POST", "/api/v1", `{"type":"GET_MAINTENANCE_STATUS"}`); !strings.HasPrefix(got, `{"type":"GET_MAINTENANCE_STATUS","get_maintenance_status":{"status":`+want) {
		t.Errorf("status of the API: %s", got)
	}
}
