package orchestrator_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	api "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	pb "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/marathon"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/kv"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/orchestrator"
	"google.golang.org/protobuf/proto"
)

// master is a small master with one agent: it offers when revived and runs what is launched.
type master struct {
	mu     sync.Mutex
	tasks  map[string]bool
	events chan *pb.Event
	seen   *mesos.FrameworkInfo
}

func newMaster() *master { return &master{tasks: map[string]bool{}} }

func (m *master) Run(ctx context.Context, subscribe *pb.Call_Subscribe, h scheduler.Handler) error {
	m.mu.Lock()
	m.seen = subscribe.GetFrameworkInfo()
	m.events = make(chan *pb.Event, 1000)
	events := m.events
	m.mu.Unlock()
	events <- &pb.Event{Type: pb.Event_SUBSCRIBED.Enum(), Subscribed: &pb.Event_Subscribed{
		FrameworkId: &mesos.FrameworkID{Value: proto.String("f-1")}}}
	m.offer()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-events:
			if err := h.Event(ctx, e); err != nil {
				return err
			}
		}
	}
}

func (m *master) offer() {
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	m.events <- &pb.Event{Type: pb.Event_OFFERS.Enum(), Offers: &pb.Event_Offers{Offers: []*mesos.Offer{{
		Id: &mesos.OfferID{Value: proto.String("o")}, AgentId: &mesos.AgentID{Value: proto.String("a")}, Hostname: proto.String("host"),
		Resources: []*mesos.Resource{scalar("cpus", 4), scalar("mem", 1024), {Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(),
			Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: proto.Uint64(31000), End: proto.Uint64(31100)}}}}}}}}}
}

func (m *master) status(id string, state mesos.TaskState) {
	m.events <- &pb.Event{Type: pb.Event_UPDATE.Enum(), Update: &pb.Event_Update{Status: &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("a")}, State: state.Enum(), Uuid: []byte("u")}}}
}

func (m *master) Call(_ context.Context, c *pb.Call) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch c.GetType() {
	case pb.Call_REVIVE:
		m.offer()
	case pb.Call_ACCEPT:
		for _, info := range c.GetAccept().GetOperations()[0].GetLaunch().GetTaskInfos() {
			m.tasks[info.GetTaskId().GetValue()] = true
			m.status(info.GetTaskId().GetValue(), mesos.TaskState_TASK_RUNNING)
		}
	case pb.Call_KILL:
		delete(m.tasks, c.GetKill().GetTaskId().GetValue())
		m.status(c.GetKill().GetTaskId().GetValue(), mesos.TaskState_TASK_KILLED)
	case pb.Call_RECONCILE:
		for id := range m.tasks {
			m.status(id, mesos.TaskState_TASK_RUNNING)
		}
	}
	return nil
}

func (m *master) running() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tasks)
}

// start runs an orchestrator; stop ends it as a crash would: nothing is said to the master.
func start(t *testing.T, m *master, store kv.Store) (client *marathon.Client, url string, stop func()) {
	t.Helper()
	o := orchestrator.New(orchestrator.Config{}, orchestrator.Deps{Store: store, Driver: m})
	server := httptest.NewServer(o.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	return marathon.New(marathon.Config{Address: server.URL}), server.URL, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
	})
}

func TestTheClientDrivesAnAppThroughItsLifeAcrossARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, store := newMaster(), memkv.New()
	client, _, stop := start(t, m, store)
	app, err := client.CreateApp(ctx, map[string]any{"id": "/team/web", "cmd": "sleep 1", "cpus": 0.1, "mem": 16, "instances": 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(ctx, app.Deployments[0].ID, nil); err != nil {
		t.Fatal(err)
	}
	if m.running() != 2 || m.seen.GetFailoverTimeout() != 604800 || !m.seen.GetCheckpoint() {
		t.Fatalf("%d tasks, framework %v", m.running(), m.seen)
	}
	stop()
	client, _, stop = start(t, m, store)
	defer stop()
	scaled, err := client.ScaleApp(ctx, "/team/web", 3, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(ctx, scaled.DeploymentID, nil); err != nil {
		t.Fatal(err)
	}
	got, err := client.App(ctx, "team/web")
	if err != nil || got.TasksRunning != 3 || len(got.Tasks) != 3 || m.running() != 3 || m.seen.GetId().GetValue() != "f-1" {
		t.Fatalf("got %+v %v, %d tasks as %v", got, err, m.running(), m.seen.GetId())
	}
	removed, err := client.DeleteApp(ctx, "/team/web")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(ctx, removed.DeploymentID, nil); err != nil || m.running() != 0 {
		t.Fatalf("after delete: %v, %d tasks", err, m.running())
	}
	var refusal *api.Error
	if _, err := client.App(ctx, "/team/web"); !errors.As(err, &refusal) || refusal.Code != 404 {
		t.Fatalf("got %v, want 404", err)
	}
}

func TestEachPathAnswersWithMarathonsCode(t *testing.T) {
	_, url, stop := start(t, newMaster(), memkv.New())
	defer stop()
	for _, c := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", "/v2/apps", `{"id":"/a","cmd":"x","cpus":99}`, 201},
		{"POST", "/v2/apps", `{"id":"/a","cmd":"x"}`, 409},
		{"POST", "/v2/apps", `{"id":"/b"}`, 422},
		{"POST", "/v2/apps", `{`, 400},
		{"GET", "/v2/apps?embed=apps.tasks", "", 200},
		{"GET", "/v2/apps//a", "", 200},
		{"PUT", "/v2/apps//a", `{"instances":2}`, 409},
		{"PUT", "/v2/apps//a?force=true", `{"instances":2}`, 200},
		{"PUT", "/v2/apps/new", `{"cmd":"x","cpus":99}`, 201},
		{"PATCH", "/v2/apps/none", `{"instances":2}`, 404},
		{"GET", "/v2/apps/a/versions", "", 200},
		{"GET", "/v2/apps/a/versions/2000-01-01T00:00:00.000Z", "", 404},
		{"POST", "/v2/apps/a/restart?force=true", "", 200},
		{"GET", "/v2/apps/a/tasks", "", 200},
		{"DELETE", "/v2/apps/a/tasks?scale=true&wipe=true", "", 400},
		{"GET", "/v2/tasks", "", 200},
		{"POST", "/v2/tasks/delete", `{"ids":["none"]}`, 404},
		{"GET", "/v2/deployments", "", 200},
		{"DELETE", "/v2/deployments/none", "", 404},
		{"GET", "/v2/queue?embed=lastUnusedOffers", "", 200},
		{"DELETE", "/v2/queue/none/delay", "", 404},
		{"DELETE", "/v2/queue/a/delay", "", 204},
		{"GET", "/v2/info", "", 200},
		{"GET", "/v2/leader", "", 200},
		{"GET", "/ping", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/nothing", "", 404},
		{"DELETE", "/v2/apps/a", "", 200},
		{"DELETE", "/v2/apps/a", "", 404},
	} {
		request, _ := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.code {
			t.Errorf("%s %s %s: got %d, want %d", c.method, c.path, c.body, response.StatusCode, c.code)
		}
	}
}
