package operator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/recordio"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestCallFollowsTheRedirectToTheLeader(t *testing.T) {
	leader := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		call := new(master.Call)
		if err := codec.Unmarshal(codec.Protobuf, body, call); err != nil || call.GetType() != master.Call_GET_HEALTH {
			t.Errorf("leader got %v, %v", call, err)
		}
		healthy := true
		data, _ := codec.Marshal(codec.Protobuf, &master.Response{Type: master.Response_GET_HEALTH.Enum(),
			GetHealth: &master.Response_GetHealth{Healthy: &healthy}})
		_, _ = w.Write(data)
	})
	standby := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "//"+leader+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	response, err := New(standby).Master(t.Context(), &master.Call{Type: master.Call_GET_HEALTH.Enum()})
	if err != nil || !response.GetGetHealth().GetHealthy() {
		t.Fatalf("got %v, %v", response, err)
	}
}

func TestRefusalIsAStatusErrorWithItsText(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Agent has been marked gone", http.StatusNotFound)
	})
	_, err := New(addr).Get(t.Context(), "/state")
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 404 || status.Error() != "Agent has been marked gone" {
		t.Fatalf("got %#v", err)
	}
}

func TestSubscribeStreamsEventsUntilTheMasterEndsIt(t *testing.T) {
	kinds := []master.Event_Type{master.Event_HEARTBEAT, master.Event_AGENT_REMOVED, master.Event_HEARTBEAT}
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		records := recordio.NewWriter(w, http.NewResponseController(w).Flush)
		for _, kind := range kinds {
			data, _ := codec.Marshal(codec.Protobuf, &master.Event{Type: kind.Enum()})
			_, _ = records.Write(data)
		}
	})
	events, err := New(addr).Subscribe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for i, want := range kinds {
		if event, err := events.Next(); err != nil || event.GetType() != want {
			t.Fatalf("event %d: got %v, %v, want %v", i, event, err, want)
		}
	}
	if _, err := events.Next(); err != io.EOF {
		t.Errorf("after the end: got %v, want EOF", err)
	}
}

func TestSubscribeEndsWithItsContext(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	events, err := New(addr).Subscribe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	cancel()
	if _, err := events.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestRedirectsAreBoundedAndCarryTheAuthorization(t *testing.T) {
	var addr string
	seen := 0
	addr = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if seen++; r.Header.Get("Authorization") != "Bearer x" {
			t.Errorf("request %d: Authorization %q", seen, r.Header.Get("Authorization"))
		}
		w.Header().Set("Location", "//"+addr+r.URL.Path)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	if _, err := New(addr, WithAuthorization("Bearer x")).Get(t.Context(), "/state"); err == nil || seen != maxRequests {
		t.Errorf("got %v after %d requests, want an error after %d", err, seen, maxRequests)
	}
}
