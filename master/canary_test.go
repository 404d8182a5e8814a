package master_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/client/agentlink"
	schedulerclient "agora.dev/agora/client/scheduler"
	"google.golang.org/protobuf/proto"
)

func secretValue() *mesos.Secret {
	return &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte(canary)}}
}

// write appends what a client reads of a message.
func write(to *strings.Builder, message proto.Message) {
	raw, _ := proto.Marshal(message)
	to.Write(raw)
}

// secretTask has a secret wherever a task may have one.
func secretTask(id string, agent *mesos.AgentID) *mesos.TaskInfo {
	command := func() *mesos.CommandInfo {
		return &mesos.CommandInfo{Value: ptr("run"), User: ptr("root"), Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{
			{Name: ptr("A"), Type: mesos.Environment_Variable_SECRET.Enum(), Secret: secretValue()}}}}
	}
	container := func() *mesos.ContainerInfo {
		image := &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: ptr("i"), Config: secretValue()}}
		return &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Mesos: &mesos.ContainerInfo_MesosInfo{Image: image}, Volumes: []*mesos.Volume{
			{Mode: mesos.Volume_RW.Enum(), ContainerPath: ptr("a"), Image: image},
			{Mode: mesos.Volume_RW.Enum(), ContainerPath: ptr("b"), Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum(), Secret: secretValue()}}}}
	}
	executor := &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_CUSTOM.Enum(), ExecutorId: &mesos.ExecutorID{Value: ptr("e")}, Command: command(), Container: container()}
	return &mesos.TaskInfo{Name: ptr(id), TaskId: &mesos.TaskID{Value: &id}, AgentId: agent, Resources: []*mesos.Resource{scalar("cpus", 1), scalar("mem", 64)},
		Executor: executor, Container: container(), HealthCheck: &mesos.HealthCheck{Type: mesos.HealthCheck_COMMAND.Enum(), Command: command()},
		Check: &mesos.CheckInfo{Type: mesos.CheckInfo_COMMAND.Enum(), Command: &mesos.CheckInfo_Command{Command: command()}}}
}

// TestSecretsOfTasksAreShownToNobody runs a task with secrets everywhere, and looks for them in all that the master
// shows, streams and logs. The framework's principal may launch as root and reserve for web, and nothing else: what the core refuses
// within its ACCEPT is in the audit log.
func TestSecretsOfTasksAreShownToNobody(t *testing.T) {
	s := startSecured(t, `--acls={"run_tasks":[{"principals":{"values":["web"]},"users":{"values":["root"]}},{"principals":{"values":["web"]},"users":{"type":"NONE"}}],
		"reserve_resources":[{"principals":{"values":["web"]},"roles":{"type":"NONE"}}]}`)
	admin := s.operator(t, "", httpauth.BasicHeader("admin", canary))
	agent, err := (agentlink.Dialer{TLS: s.source(t, "agents").Client}).Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	_ = agent.Send(registration("h", "note"))
	client := schedulerclient.New(schedulerclient.Config{Masters: []string{"https://" + s.Addr()}, MediaType: codec.JSON,
		Authorization: httpauth.BasicHeader("web", canary), TLS: s.source(t, "").Client()})
	defer client.Close()
	stream, err := client.Subscribe(t.Context(), &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("n"), Principal: ptr("web"),
		Roles: []string{"web"}, Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	next := func(kind scheduler.Event_Type) *scheduler.Event {
		for {
			event, err := stream.Next()
			if err != nil {
				t.Fatal(err)
			}
			if event.GetType() == kind {
				return event
			}
		}
	}
	id := next(scheduler.Event_SUBSCRIBED).GetSubscribed().GetFrameworkId()
	offer := next(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
	denied := commandTask("denied", offer.AgentId)
	denied.Command.User = ptr("other")
	reserved := scalar("cpus", 1)
	reserved.Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr("web"), Principal: ptr("web")}}
	incompatible := secretTask("incompatible", offer.AgentId)
	incompatible.Executor.Name = ptr("another")
	launch := func(task *mesos.TaskInfo) *mesos.Offer_Operation {
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}
	}
	if err := client.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), FrameworkId: id, Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.Id}, Operations: []*mesos.Offer_Operation{launch(denied),
			{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: []*mesos.Resource{reserved}}},
			launch(secretTask("task-with-secrets", offer.AgentId)), launch(incompatible)}}}); err != nil {
		t.Fatal(err)
	}
	if status := next(scheduler.Event_UPDATE).GetUpdate().GetStatus(); status.GetReason() != mesos.TaskStatus_REASON_TASK_UNAUTHORIZED {
		t.Errorf("the task of another user: %v", status)
	}
	status := next(scheduler.Event_UPDATE).GetUpdate().GetStatus()
	if text := status.GetMessage(); !strings.Contains(text, "not compatible") || strings.Contains(text, canary) {
		t.Errorf("the task with an executor that is not compatible: %s", text)
	}
	var run *link.RunTask
	for run == nil {
		m, err := agent.Recv()
		if err != nil {
			t.Fatal(err)
		}
		run = m.GetRunTask()
	}
	if raw, _ := proto.Marshal(run); strings.Count(string(raw), canary) < 5 {
		t.Error("the agent does not get the secrets")
	}
	shown := &strings.Builder{}
	events, err := admin.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	first, err := events.Next()
	if err != nil {
		t.Fatal(err)
	}
	write(shown, first)
	if !strings.Contains(shown.String(), "task-with-secrets") {
		t.Error("a stream does not begin with the task")
	}
	for _, path := range []string{"/state", "/tasks", "/frameworks", "/slaves", "/flags", "/metrics/snapshot", "/metrics/prometheus", "/roles", "/state-summary"} {
		body, err := admin.Get(t.Context(), path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		shown.Write(body)
	}
	for _, kind := range []masterpb.Call_Type{masterpb.Call_GET_STATE, masterpb.Call_GET_TASKS, masterpb.Call_GET_EXECUTORS, masterpb.Call_GET_FRAMEWORKS,
		masterpb.Call_GET_AGENTS, masterpb.Call_GET_FLAGS, masterpb.Call_GET_METRICS} {
		answer, err := admin.Master(t.Context(), &masterpb.Call{Type: kind.Enum(), GetMetrics: &masterpb.Call_GetMetrics{}})
		if err != nil {
			t.Errorf("%v: %v", kind, err)
			continue
		}
		write(shown, answer)
	}
	if !strings.Contains(shown.String(), "task-with-secrets") || !strings.Contains(shown.String(), "CUSTOM") {
		t.Error("the task and its executor are not shown")
	}
	log := s.log.String()
	for where, text := range map[string]string{"answers": shown.String(), "log": log} {
		for _, secret := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s hold %q: ...%q", where, secret, text[max(0, at-200):at+len(secret)])
			}
		}
	}
	for _, want := range []string{`"principal":"web","what":"LAUNCH ` + id.GetValue() + ` denied","status":403`,
		`"what":"RESERVE ` + id.GetValue() + `","status":403,"reason":"Not authorized to reserve resources as 'web'"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the audit log lacks %s", want)
		}
	}
}
