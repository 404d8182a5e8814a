package scheduler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/recordio"
)

// master is a server that records calls and lets a script answer each SUBSCRIBE.
type master struct {
	*httptest.Server
	calls chan *api.Call
	ids   chan string // Mesos-Stream-Id of each call
}

func newMaster(t *testing.T, mt codec.MediaType, subscribe func(w http.ResponseWriter, send func(*api.Event))) *master {
	m := &master{calls: make(chan *api.Call, 100), ids: make(chan string, 100)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		call := new(api.Call)
		if err := codec.Unmarshal(mt, body, call); err != nil || r.URL.Path != "/api/v1/scheduler" || r.Header.Get("Content-Type") != string(mt) {
			t.Errorf("%s %s: %v", r.URL, r.Header, err)
		}
		m.calls <- call
		m.ids <- r.Header.Get("Mesos-Stream-Id")
		if call.GetType() != api.Call_SUBSCRIBE {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.Header().Set("Mesos-Stream-Id", "stream-1")
		records := recordio.NewWriter(w, http.NewResponseController(w).Flush)
		subscribe(w, func(event *api.Event) {
			data, _ := codec.Marshal(mt, event)
			_, _ = records.Write(data)
		})
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *master) addr() string { return strings.TrimPrefix(m.URL, "http://") }

func info() *api.Call_Subscribe {
	return &api.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")}}
}

func subscribed() *api.Event {
	return &api.Event{Type: api.Event_SUBSCRIBED.Enum(), Subscribed: &api.Event_Subscribed{
		FrameworkId: &mesos.FrameworkID{Value: proto.String("f-1")}, HeartbeatIntervalSeconds: proto.Float64(15)}}
}

// script is a Handler of functions.
type script struct {
	event        func(ctx context.Context, event *api.Event) error
	disconnected func(err error)
}

func (s script) Event(ctx context.Context, event *api.Event) error { return s.event(ctx, event) }

func (s script) Disconnected(err error) {
	if s.disconnected != nil {
		s.disconnected(err)
	}
}

var errDone = errors.New("done")

func TestCallsCarryTheIDsOfFrameworkAndStream(t *testing.T) {
	for _, mt := range []codec.MediaType{codec.Protobuf, codec.JSON} {
		m := newMaster(t, mt, func(w http.ResponseWriter, send func(*api.Event)) { send(subscribed()) })
		c := New(Config{Masters: []string{m.addr()}, MediaType: mt})
		if err := c.Call(t.Context(), &api.Call{Type: api.Call_REVIVE.Enum()}); err != ErrNotSubscribed {
			t.Errorf("before subscribing: got %v", err)
		}
		err := c.Run(t.Context(), info(), script{event: func(ctx context.Context, event *api.Event) error {
			if err := c.Call(ctx, &api.Call{Type: api.Call_REVIVE.Enum()}); err != nil {
				return err
			}
			return errDone
		}})
		if err != errDone {
			t.Fatalf("%s: run: %v", mt, err)
		}
		<-m.calls
		if id := <-m.ids; id != "" {
			t.Errorf("SUBSCRIBE with stream id %q", id)
		}
		if call, id := <-m.calls, <-m.ids; call.GetFrameworkId().GetValue() != "f-1" || id != "stream-1" {
			t.Errorf("%s: call of framework %q on stream %q", mt, call.GetFrameworkId().GetValue(), id)
		}
		c.Close()
	}
}

func TestRunSubscribesAgainWithItsIDAndFollowsTheLeader(t *testing.T) {
	leader := newMaster(t, codec.Protobuf, func(w http.ResponseWriter, send func(*api.Event)) { send(subscribed()) })
	standby := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "//"+leader.addr()+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	t.Cleanup(standby.Close)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	c := New(Config{Masters: []string{dead.URL, standby.URL}})
	t.Cleanup(c.Close)
	events, lost := 0, 0
	err := c.Run(t.Context(), info(), script{
		event: func(context.Context, *api.Event) error {
			if events++; events == 3 {
				return errDone
			}
			return nil
		},
		disconnected: func(error) { lost++ },
	})
	if err != errDone || lost != 2 {
		t.Fatalf("got %v after %d disconnections, want 2", err, lost)
	}
	for i, want := range []string{"", "f-1", "f-1"} {
		call := <-leader.calls
		if got := call.GetSubscribe().GetFrameworkInfo().GetId().GetValue(); got != want || call.GetFrameworkId().GetValue() != want {
			t.Errorf("subscription %d: framework %q, want %q", i, got, want)
		}
	}
}

func TestErrorEventAndRefusalEndRun(t *testing.T) {
	failedOver := newMaster(t, codec.Protobuf, func(w http.ResponseWriter, send func(*api.Event)) {
		send(&api.Event{Type: api.Event_ERROR.Enum(), Error: &api.Event_Error{Message: proto.String("Framework failed over")}})
	})
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "Framework cannot be found", http.StatusBadRequest)
	}))
	t.Cleanup(refusing.Close)
	for addr, want := range map[string]string{failedOver.URL: "Framework failed over", refusing.URL: "Framework cannot be found"} {
		c := New(Config{Masters: []string{addr}})
		err := c.Run(t.Context(), info(), script{event: func(context.Context, *api.Event) error { return nil }})
		var rejected *Rejected
		if !errors.As(err, &rejected) || !strings.Contains(rejected.Message, want) {
			t.Errorf("got %v, want %q", err, want)
		}
		c.Close()
	}
}

func TestTeardownEndsRun(t *testing.T) {
	m := newMaster(t, codec.Protobuf, func(w http.ResponseWriter, send func(*api.Event)) { send(subscribed()) })
	c := New(Config{Masters: []string{m.addr()}})
	t.Cleanup(c.Close)
	err := c.Run(t.Context(), info(), script{
		event: func(ctx context.Context, _ *api.Event) error {
			return c.Call(ctx, &api.Call{Type: api.Call_TEARDOWN.Enum()})
		},
		disconnected: func(err error) { t.Errorf("disconnected: %v", err) },
	})
	if err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestUpdateOfTheFrameworkIsPartOfLaterSubscriptions(t *testing.T) {
	m := newMaster(t, codec.Protobuf, func(w http.ResponseWriter, send func(*api.Event)) { send(subscribed()) })
	c := New(Config{Masters: []string{m.addr()}})
	t.Cleanup(c.Close)
	events := 0
	err := c.Run(t.Context(), info(), script{event: func(ctx context.Context, _ *api.Event) error {
		if events++; events == 2 {
			return errDone
		}
		return c.Call(ctx, &api.Call{Type: api.Call_UPDATE_FRAMEWORK.Enum(), UpdateFramework: &api.Call_UpdateFramework{
			FrameworkInfo:   &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("renamed"), Id: c.FrameworkID()},
			SuppressedRoles: []string{"r"}}})
	}})
	if err != errDone {
		t.Fatal(err)
	}
	<-m.calls
	<-m.calls
	again := (<-m.calls).GetSubscribe()
	if again.GetFrameworkInfo().GetName() != "renamed" || again.GetFrameworkInfo().GetId().GetValue() != "f-1" || len(again.GetSuppressedRoles()) != 1 {
		t.Errorf("subscribed again with %v", again)
	}
}

// body is the body of an answer that brings one record and then nothing.
type body struct {
	io.Reader
	ctx context.Context
}

func (b body) Read(p []byte) (int, error) {
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (body) Close() error { return nil }

func TestFiveMissedHeartbeatsEndTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		event := subscribed()
		event.Subscribed.HeartbeatIntervalSeconds = proto.Float64(2)
		data, err := codec.Marshal(codec.Protobuf, event)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer := &http.Response{Header: http.Header{}, Body: body{strings.NewReader(string(recordio.Append(nil, data))), ctx}}
		s := newStream(New(Config{}), answer, cancel)
		defer s.Close()
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a slow handler is no silence of the master
		start := time.Now()
		if _, err := s.Next(); err != ErrSilent {
			t.Errorf("got %v, want ErrSilent", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", took)
		}
	})
}
