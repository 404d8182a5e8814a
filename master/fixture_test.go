package master_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/recordio"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master"
	"go.uber.org/goleak"
)

func ptr[T any](v T) *T { return &v }

// startMaster runs a master on a free port, and checks at the end that nothing is left.
func startMaster(t *testing.T, deps master.Deps) *master.Master {
	t.Helper()
	return startMasterWith(t, deps, func(*master.Config) {})
}

func startMasterWith(t *testing.T, deps master.Deps, change func(*master.Config)) *master.Master {
	t.Helper()
	cfg := master.NewConfig()
	cfg.Port = 0
	change(&cfg)
	m, err := master.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t)
	})
	waitElected(t, m)
	return m
}

func waitElected(t *testing.T, m *master.Master) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		r, err := http.Get("http://" + m.Addr() + "/state-summary")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("the master does not lead")
}

// fakeAgent is a scripted agent on a real link.
type fakeAgent struct {
	t    *testing.T
	link *agentlink.Stream
	id   *mesos.AgentID
}

func scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
}

func startAgent(t *testing.T, m *master.Master) *fakeAgent {
	t.Helper()
	stream, err := agentlink.Dial(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	a := &fakeAgent{t: t, link: stream}
	info := &mesos.AgentInfo{Hostname: ptr("agent.example"), Port: ptr(int32(5051)),
		Resources:  []*mesos.Resource{scalar("cpus", 8), scalar("mem", 8192), scalar("disk", 10000)},
		Attributes: []*mesos.Attribute{{Name: ptr("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: ptr("r1")}}}}
	a.send(&link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{Agent: info, Version: ptr("1.11.0"),
		Capabilities: capabilities(mesos.AgentInfo_Capability_MULTI_ROLE, mesos.AgentInfo_Capability_HIERARCHICAL_ROLE,
			mesos.AgentInfo_Capability_RESERVATION_REFINEMENT)}}})
	a.id = a.recv().GetRegistered().GetAgentId()
	if a.id == nil {
		t.Fatal("agent not registered")
	}
	return a
}

func capabilities(types ...mesos.AgentInfo_Capability_Type) []*mesos.AgentInfo_Capability {
	var list []*mesos.AgentInfo_Capability
	for _, c := range types {
		list = append(list, &mesos.AgentInfo_Capability{Type: c.Enum()})
	}
	return list
}

func (a *fakeAgent) send(m *link.FromAgent) {
	a.t.Helper()
	if err := a.link.Send(m); err != nil {
		a.t.Fatal(err)
	}
}

// recv gives the next message that is no ping.
func (a *fakeAgent) recv() *link.FromMaster {
	a.t.Helper()
	for {
		m, err := a.link.Recv()
		if err != nil {
			a.t.Fatal(err)
		}
		if m.GetPing() == nil && m.GetUpdateFramework() == nil {
			return m
		}
	}
}

func (a *fakeAgent) update(framework *mesos.FrameworkID, task *mesos.TaskID, state mesos.TaskState) []byte {
	a.t.Helper()
	uuid := []byte("0123456789abcde" + state.String()[len(state.String())-1:])
	a.send(&link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
		FrameworkId: framework, AgentId: a.id, LatestState: state.Enum(),
		Status: &mesos.TaskStatus{TaskId: task, State: state.Enum(), AgentId: a.id, Uuid: uuid,
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Timestamp: ptr(1.5)},
	}}})
	return uuid
}

// fakeScheduler is a framework over plain HTTP.
type fakeScheduler struct {
	t        *testing.T
	url      string
	media    codec.MediaType
	streamID string
	id       *mesos.FrameworkID
	response *http.Response
	records  *recordio.Reader
}

func frameworkInfo() *mesos.FrameworkInfo {
	return &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("golden"), Roles: []string{"golden"}, FailoverTimeout: ptr(3600.0),
		Checkpoint: ptr(true), Hostname: ptr("sched.example"), WebuiUrl: ptr("http://sched.example/ui"),
		Capabilities: []*mesos.FrameworkInfo_Capability{
			{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()}}}
}

func subscribe(t *testing.T, m *master.Master, media codec.MediaType, id *mesos.FrameworkID) *fakeScheduler {
	t.Helper()
	f := &fakeScheduler{t: t, url: "http://" + m.Addr() + "/api/v1/scheduler", media: media, id: id}
	info := frameworkInfo()
	info.Id = id
	f.response = f.post(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), FrameworkId: id,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: info}})
	t.Cleanup(func() { f.response.Body.Close() })
	if f.response.StatusCode != 200 || f.response.Header.Get("Content-Type") != string(media) {
		t.Fatalf("SUBSCRIBE: %s %v", f.response.Status, f.response.Header)
	}
	f.streamID = f.response.Header.Get("Mesos-Stream-Id")
	f.records = recordio.NewReader(f.response.Body, 0)
	event := f.next()
	if event.GetType() != scheduler.Event_SUBSCRIBED {
		t.Fatalf("first event %v", event)
	}
	f.id = event.GetSubscribed().GetFrameworkId()
	return f
}

func (f *fakeScheduler) post(call *scheduler.Call) *http.Response {
	f.t.Helper()
	body, err := codec.Marshal(f.media, call)
	if err != nil {
		f.t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(f.t.Context(), "POST", f.url, bytes.NewReader(body))
	r.Header.Set("Content-Type", string(f.media))
	r.Header.Set("Accept", string(f.media))
	r.Header["Idempotency-Key"] = nil // sent again on a new connection, should the server have closed this one
	if f.streamID != "" {
		r.Header.Set("Mesos-Stream-Id", f.streamID)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return response
}

func (f *fakeScheduler) call(call *scheduler.Call) {
	f.t.Helper()
	call.FrameworkId = f.id
	response := f.post(call)
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 202 || len(text) > 0 {
		f.t.Fatalf("%v: %s %s", call.GetType(), response.Status, text)
	}
}

func (f *fakeScheduler) next() *scheduler.Event {
	f.t.Helper()
	for {
		record, err := f.records.Read()
		if err != nil {
			f.t.Fatal(err)
		}
		event := new(scheduler.Event)
		if err := codec.Unmarshal(f.media, record, event); err != nil {
			f.t.Fatal(err)
		}
		if event.GetType() != scheduler.Event_HEARTBEAT {
			return event
		}
	}
}

func (f *fakeScheduler) expect(kind scheduler.Event_Type) *scheduler.Event {
	f.t.Helper()
	event := f.next()
	if event.GetType() != kind {
		f.t.Fatalf("got %v, want %v", event, kind)
	}
	return event
}

func (f *fakeScheduler) accept(offer *mesos.Offer, task *mesos.TaskInfo) {
	f.t.Helper()
	f.call(&scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.Id},
		Filters:  &mesos.Filters{RefuseSeconds: ptr(600.0)},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}}})
}

func (f *fakeScheduler) acknowledge(agent *mesos.AgentID, status *mesos.TaskStatus) {
	f.t.Helper()
	f.call(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
		AgentId: agent, TaskId: status.TaskId, Uuid: status.Uuid}})
}

func commandTask(id string, agent *mesos.AgentID) *mesos.TaskInfo {
	return &mesos.TaskInfo{Name: ptr("task " + id), TaskId: &mesos.TaskID{Value: &id}, AgentId: agent,
		Resources: []*mesos.Resource{scalar("cpus", 1), scalar("mem", 64)}, Command: &mesos.CommandInfo{Value: ptr("sleep 100")}}
}

func get(t *testing.T, m *master.Master, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.Get("http://" + m.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(text)
}

func operatorCall(t *testing.T, m *master.Master, body string) (int, string) {
	t.Helper()
	r, err := http.Post("http://"+m.Addr()+"/api/v1", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}
