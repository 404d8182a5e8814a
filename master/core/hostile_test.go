package core

import (
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// prepared is a core with a framework on conn 1, an agent on link 1 and an offer m-O0.
func prepared(t *testing.T) *scripted {
	s := &scripted{core: New(testConfig()), now: testStart}
	for _, line := range []string{"elect", "subscribe 1 roles=web failover=60s", "link 1 10.0.0.1", "register 1 h cpus:4;mem:96",
		"written 1", "offer m-0000 web m-S0 cpus:4;mem:96"} {
		s.run(t, line)
	}
	return s
}

func TestEmptyMembersHurtNobody(t *testing.T) {
	for kind := range scheduler.Call_Type_name {
		call := &scheduler.Call{Type: scheduler.Call_Type(kind).Enum(), FrameworkId: frameworkID("m-0000")}
		s := prepared(t)
		s.core.Step(s.now, SchedulerCall{Conn: 1, Call: call})
		if err := s.core.CheckInvariants(); err != nil {
			t.Errorf("%s: %v", call.GetType(), err)
		}
	}
	for kind := range mesos.Offer_Operation_Type_name {
		s := prepared(t)
		s.core.Step(s.now, SchedulerCall{Conn: 1, Call: &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), FrameworkId: frameworkID("m-0000"),
			Accept: &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{offerID("m-O0")},
				Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_Type(kind).Enum()},
					{Type: mesos.Offer_Operation_Type(kind).Enum(), Id: &mesos.OperationID{Value: ptr("x")}}}}}})
		if err := s.core.CheckInvariants(); err != nil {
			t.Errorf("operation %d: %v", kind, err)
		}
	}
	s := prepared(t)
	s.core.Step(s.now, FrameworkSubscribed{Conn: 9, Call: &scheduler.Call_Subscribe{}})
	s.core.Step(s.now, FrameworkSubscribed{Conn: 10})
}

func TestEmptyMessagesOfAgentsHurtNobody(t *testing.T) {
	s := prepared(t)
	s.run(t, "accept 1 m-0000 m-O0 m-S0 t1=cpus:1;mem:32")
	f, task := frameworkID("m-0000"), taskID("t1")
	for _, m := range []*link.FromAgent{
		{},
		{Message: &link.FromAgent_Register{Register: &link.Register{}}},
		{Message: &link.FromAgent_Reregister{Reregister: &link.Reregister{}}},
		{Message: &link.FromAgent_Pong{}},
		{Message: &link.FromAgent_UpdateAgent{UpdateAgent: &link.UpdateAgent{}}},
		{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{}}},
		{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{FrameworkId: f}}},
		{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{FrameworkId: f, Status: &mesos.TaskStatus{TaskId: task}}}},
		{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{FrameworkId: f, Status: &mesos.TaskStatus{TaskId: task,
			State: mesos.TaskState(-7).Enum()}}}},
		{Message: &link.FromAgent_ExitedExecutor{ExitedExecutor: &link.ExitedExecutor{}}},
		{Message: &link.FromAgent_ExecutorMessage{ExecutorMessage: &link.ExecutorMessage{}}},
		{Message: &link.FromAgent_OperationUpdate{OperationUpdate: &link.OperationUpdate{}}},
		{Message: &link.FromAgent_Unregister{}},
	} {
		s.core.Step(s.now, AgentMessage{Link: 1, Message: m})
		s.core.Step(s.now, AgentMessage{Link: 77, Message: m})
		if err := s.core.CheckInvariants(); err != nil {
			t.Fatalf("%T: %v", m.GetMessage(), err)
		}
		s.core.Snapshot()
	}
}

func TestALinkBelongsToOneAgent(t *testing.T) {
	s := prepared(t)
	if got := s.run(t, "reregister 1 other-S9 cpus:1"); len(got) != 1 || got[0] != `to agent 1: {"refused":{"reason":"This link belongs to agent m-S0"}}` {
		t.Errorf("got %q", got)
	}
}
