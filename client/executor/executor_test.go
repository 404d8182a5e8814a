package executor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/recordio"
)

// agent is a server on a socket; each subscription gets the next list of events and then ends.
type agent struct {
	calls chan *api.Call
	lists chan []*api.Event
}

func newAgent(t *testing.T, lists ...[]*api.Event) (*agent, Config) {
	a := &agent{calls: make(chan *api.Call, 100), lists: make(chan []*api.Event, 100)}
	for _, list := range lists {
		a.lists <- list
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(t, w, r) }))
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return a, Config{Environment: Environment{FrameworkID: "f", ExecutorID: "e", DomainSocket: socket, Token: "secret",
		Checkpoint: true, RecoveryTimeout: time.Minute, SubscriptionBackoffMax: time.Millisecond}}
}

func (a *agent) serve(t *testing.T, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := new(api.Call)
	if err := codec.Unmarshal(codec.Protobuf, body, call); err != nil || r.Header.Get("Authorization") != "Bearer secret" ||
		call.GetFrameworkId().GetValue() != "f" || call.GetExecutorId().GetValue() != "e" {
		t.Errorf("got %v %v, %v", r.Header, call, err)
	}
	a.calls <- call
	if call.GetType() != api.Call_SUBSCRIBE {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	records := recordio.NewWriter(w, http.NewResponseController(w).Flush)
	for _, event := range <-a.lists {
		data, _ := codec.Marshal(codec.Protobuf, event)
		_, _ = records.Write(data)
	}
}

func subscribed() *api.Event {
	return &api.Event{Type: api.Event_SUBSCRIBED.Enum(), Subscribed: &api.Event_Subscribed{
		ExecutorInfo:  &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}},
		FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")},
		AgentInfo:     &mesos.AgentInfo{Hostname: proto.String("h")}}}
}

func launch(id string) *api.Event {
	return &api.Event{Type: api.Event_LAUNCH.Enum(), Launch: &api.Event_Launch{Task: &mesos.TaskInfo{
		Name: proto.String(id), TaskId: &mesos.TaskID{Value: proto.String(id)}, AgentId: &mesos.AgentID{Value: proto.String("a")}}}}
}

func acknowledged(id, uuid string) *api.Event {
	return &api.Event{Type: api.Event_ACKNOWLEDGED.Enum(), Acknowledged: &api.Event_Acknowledged{
		TaskId: &mesos.TaskID{Value: proto.String(id)}, Uuid: []byte(uuid)}}
}

func update(id, uuid string) *api.Call {
	return &api.Call{Type: api.Call_UPDATE.Enum(), Update: &api.Call_Update{Status: &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: proto.String(id)}, State: mesos.TaskState_TASK_RUNNING.Enum(), Uuid: []byte(uuid)}}}
}

// script is a Handler of a function.
type script func(ctx context.Context, event *api.Event) error

func (s script) Event(ctx context.Context, event *api.Event) error { return s(ctx, event) }

func (script) Disconnected(error) {}

var errDone = errors.New("done")

func TestSubscriptionsRepeatWhatWasNotAcknowledged(t *testing.T) {
	a, config := newAgent(t,
		[]*api.Event{subscribed(), launch("t1"), launch("t2")},
		[]*api.Event{subscribed(), acknowledged("t1", "uuid-1")},
		[]*api.Event{subscribed(), {Type: api.Event_SHUTDOWN.Enum()}})
	c := New(config)
	t.Cleanup(c.Close)
	err := c.Run(t.Context(), script(func(ctx context.Context, event *api.Event) error {
		switch event.GetType() {
		case api.Event_LAUNCH:
			id := event.GetLaunch().GetTask().GetTaskId().GetValue()
			return c.Call(ctx, update(id, "uuid-"+id[1:]))
		case api.Event_SHUTDOWN:
			return errDone
		}
		return nil
	}))
	if err != errDone {
		t.Fatal(err)
	}
	var sizes [][2]int
	for len(a.calls) > 0 {
		if call := <-a.calls; call.GetType() == api.Call_SUBSCRIBE {
			s := call.GetSubscribe()
			sizes = append(sizes, [2]int{len(s.GetUnacknowledgedTasks()), len(s.GetUnacknowledgedUpdates())})
		}
	}
	want := [][2]int{{0, 0}, {2, 2}, {1, 1}}
	if len(sizes) != 3 || sizes[0] != want[0] || sizes[1] != want[1] || sizes[2] != want[2] {
		t.Errorf("tasks and updates of the subscriptions: got %v, want %v", sizes, want)
	}
}

func TestUpdateWithoutSubscriptionWaitsForTheNextOne(t *testing.T) {
	a, config := newAgent(t, nil)
	c := New(config)
	t.Cleanup(c.Close)
	if err := c.Call(t.Context(), update("t", "u")); err != ErrNotSubscribed {
		t.Fatalf("got %v", err)
	}
	stream, err := c.Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if got := (<-a.calls).GetSubscribe().GetUnacknowledgedUpdates(); len(got) != 1 || string(got[0].GetStatus().GetUuid()) != "u" {
		t.Errorf("got %v", got)
	}
}

func TestAgentIsAwaitedOnlyWithCheckpointingAndNotForEver(t *testing.T) {
	for _, c := range []struct {
		name       string
		checkpoint bool
		timeout    time.Duration
		attempts   bool
	}{
		{"without checkpoint", false, time.Hour, false},
		{"with checkpoint", true, 50 * time.Millisecond, true},
	} {
		config := Config{Environment: Environment{FrameworkID: "f", ExecutorID: "e", DomainSocket: filepath.Join(t.TempDir(), "none"),
			Checkpoint: c.checkpoint, RecoveryTimeout: c.timeout, SubscriptionBackoffMax: time.Millisecond}}
		err := New(config).Run(t.Context(), script(func(context.Context, *api.Event) error { return nil }))
		var lost *AgentLost
		if !errors.As(err, &lost) || (lost.Waited >= 50*time.Millisecond) != c.attempts {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestErrorEventAndRefusalEndRun(t *testing.T) {
	_, config := newAgent(t, []*api.Event{{Type: api.Event_ERROR.Enum(), Error: &api.Event_Error{Message: proto.String("no")}}})
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "Framework cannot be found", http.StatusBadRequest)
	}))
	t.Cleanup(refusing.Close)
	tcp := Config{Environment: Environment{FrameworkID: "f", ExecutorID: "e", Endpoint: strings.TrimPrefix(refusing.URL, "http://"), Checkpoint: true, RecoveryTimeout: time.Hour}}
	for _, config := range []Config{config, tcp} {
		err := New(config).Run(t.Context(), script(func(context.Context, *api.Event) error { return nil }))
		var rejected *Rejected
		if !errors.As(err, &rejected) {
			t.Errorf("got %v, want a Rejected", err)
		}
	}
}

func TestEnvironmentIsReadAsAgentsWriteIt(t *testing.T) {
	vars := map[string]string{"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_SLAVE_ID": "s", "MESOS_AGENT_ENDPOINT": "127.0.0.1:5051",
		"MESOS_CHECKPOINT": "1", "MESOS_RECOVERY_TIMEOUT": "15mins", "MESOS_SUBSCRIPTION_BACKOFF_MAX": "250ms", "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "1.5secs"}
	env, err := ReadEnvironment(func(name string) string { return vars[name] })
	if err != nil || env.RecoveryTimeout != 15*time.Minute || env.SubscriptionBackoffMax != 250*time.Millisecond ||
		env.ShutdownGracePeriod != 1500*time.Millisecond || !env.Checkpoint || env.AgentID != "s" {
		t.Errorf("got %+v, %v", env, err)
	}
	for name, value := range map[string]string{"MESOS_FRAMEWORK_ID": "", "MESOS_CHECKPOINT": "maybe", "MESOS_RECOVERY_TIMEOUT": "-5secs",
		"MESOS_SUBSCRIPTION_BACKOFF_MAX": "5", "MESOS_AGENT_ENDPOINT": "", "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "1e300weeks"} {
		_, err := ReadEnvironment(func(n string) string {
			if n == name {
				return value
			}
			return vars[n]
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: got %v, want an error that names it", name, value, err)
		}
	}
}
