package agentlink

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master/core"
	"go.uber.org/goleak"
)

func start(t *testing.T) (*Server, chan core.Event, string) {
	t.Helper()
	events := make(chan core.Event, 100)
	s := New(func(ctx context.Context, e core.Event) error {
		select {
		case events <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		web.Close()
		goleak.VerifyNone(t)
	})
	return s, events, strings.TrimPrefix(web.URL, "http://")
}

func TestLinkCarriesMessagesBothWaysInOrder(t *testing.T) {
	s, events, address := start(t)
	agent, err := agentlink.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	opened := (<-events).(core.AgentLinkOpened)
	if opened.IP != "127.0.0.1" {
		t.Errorf("ip %q", opened.IP)
	}
	for i := range uint64(50) {
		agent.Send(&link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{Sequence: &i}}})
		s.Send(opened.Link, &link.FromMaster{Message: &link.FromMaster_Ping{Ping: &link.Ping{Sequence: &i}}})
	}
	for i := range uint64(50) {
		got := (<-events).(core.AgentMessage)
		if n := got.Message.GetPong().GetSequence(); n != i {
			t.Fatalf("the master got %d, want %d", n, i)
		}
		m, err := agent.Recv()
		if err != nil || m.GetPing().GetSequence() != i {
			t.Fatalf("the agent got %v %v, want %d", m, err, i)
		}
	}
	agent.Close()
	if closed := (<-events).(core.AgentLinkClosed); closed.Link != opened.Link {
		t.Errorf("closed %v, want %v", closed, opened)
	}
	if s.Len() != 0 {
		t.Errorf("%d links remain", s.Len())
	}
}

func TestClosingALinkDeliversWhatWasSentBefore(t *testing.T) {
	s, events, address := start(t)
	agent, err := agentlink.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	id := (<-events).(core.AgentLinkOpened).Link
	reason := "no"
	s.Send(id, &link.FromMaster{Message: &link.FromMaster_Refused{Refused: &link.Refused{Reason: &reason}}})
	s.CloseLink(id)
	if m, err := agent.Recv(); err != nil || m.GetRefused().GetReason() != "no" {
		t.Fatalf("got %v %v, want the refusal", m, err)
	}
	if m, err := agent.Recv(); err == nil {
		t.Fatalf("got %v after the end", m)
	}
}

func TestDialSaysWhoRefusedAndWhetherAnotherLeads(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "No leader elected", http.StatusServiceUnavailable)
	}))
	defer web.Close()
	_, err := agentlink.Dial(t.Context(), strings.TrimPrefix(web.URL, "http://"))
	if !errors.Is(err, agentlink.ErrNotLeader) || !strings.Contains(err.Error(), "503 No leader elected") {
		t.Fatalf("got %v", err)
	}
}

func TestRequestWithoutUpgradeIsRefused(t *testing.T) {
	_, _, address := start(t)
	r, err := http.Post("http://"+address+agentlink.Path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if r.StatusCode != http.StatusUpgradeRequired {
		t.Fatalf("got %s", r.Status)
	}
}
