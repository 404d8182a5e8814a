package httpapi

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master/core"
)

// relayCluster is an edge whose core asks an agent that serves handler.
func relayCluster(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	return relayClusterWith(t, newEdge(t), handler, nil)
}

// relayClusterWith has an edge of its own; asked, if any, hears what agents are asked for.
func relayClusterWith(t *testing.T, e *edge, handler http.HandlerFunc, asked func(core.OpenRelay)) *httptest.Server {
	t.Helper()
	var agents sync.WaitGroup
	t.Cleanup(agents.Wait)
	e.cfg.Link = http.NotFoundHandler()
	routes := e.routes()
	for path, handler := range routes {
		routes[path] = e.guard.Before(path, handler)
	}
	e.router = newRouter(routes)
	web := httptest.NewServer(e)
	t.Cleanup(web.Close)
	address := strings.TrimPrefix(web.URL, "http://")
	post := e.cfg.Post
	e.cfg.Post = func(ctx context.Context, event core.Event) error {
		call, ok := event.(core.OperatorCall)
		open, relay := call.Call.(core.OpenRelay)
		if !ok || !relay {
			return post(ctx, event)
		}
		if asked != nil {
			asked(open)
		}
		answer := core.Answer{Request: call.Request, Status: 200}
		if open.Agent != "S0" {
			answer.Status, answer.Text = 404, "Agent cannot be found"
		} else if handler != nil {
			agents.Go(func() { serveRelay(t, address, open.Token, handler) })
		}
		e.Deliver(answer)
		return nil
	}
	return web
}

func serveRelay(t *testing.T, address, token string, handler http.HandlerFunc) {
	dialer := agentlink.Dialer{Authorization: authtest.Basic("agents")} // where an edge asks
	conn, err := dialer.DialRelay(context.Background(), address, token)
	if err != nil {
		t.Errorf("relay: %v", err)
		return
	}
	defer conn.Close()
	if again, err := dialer.DialRelay(context.Background(), address, token); err == nil {
		again.Close()
		t.Error("a token was good twice")
	}
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		t.Errorf("request over the relay: %v", err)
		return
	}
	recorder := httptest.NewRecorder()
	handler(recorder, request)
	recorder.Result().Write(conn)
}

func TestRequestForAnAgentIsPassedOn(t *testing.T) {
	web := relayCluster(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+string(body)+r.Header.Get("Authorization")+r.Header.Get("Cookie"))
	})
	for path, want := range map[string]string{
		"/agent/S0/api/v1":                 "200 S0 POST /api/v1 hello",
		"/master/agent/S0/api/v1/":         "200 S0 POST /api/v1 hello",
		"/agent/S0/files/read?path=/a%2fb": "200 S0 POST /files/read?path=/a%2fb hello",
		"/agent/S9/api/v1":                 "404 S9 Agent cannot be found",
		"/agent/S0/api/v1/executor":        "404  404 Not Found.",
		"/agent/S0/../api/v1":              "404  404 Not Found.",
		"/agent/S0":                        "404  404 Not Found.",
		"/agent":                           "404  404 Not Found.",
	} {
		request, _ := http.NewRequest("POST", web.URL+path, strings.NewReader("hello"))
		request.Header.Set("Authorization", "Basic secret")
		request.Header.Set("Cookie", "secret")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if got := response.Status[:3] + " " + response.Header.Get("Agora-Agent") + " " + string(body); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestAgentsHearWhoAsks: the agent is told who the master has authenticated, and nobody else gets through.
func TestAgentsHearWhoAsks(t *testing.T) {
	all := callers(t)
	var log strings.Builder
	var heard []string
	web := relayClusterWith(t, secured(t, all, &log), func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Authorization")) },
		func(open core.OpenRelay) { heard = append(heard, open.Principal) })
	for _, c := range all {
		heard = nil
		request, _ := http.NewRequest("GET", web.URL+"/agent/S0/state", nil)
		if c.Authorization != "" {
			request.Header.Set("Authorization", c.Authorization)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		want, named := 200, []string{c.Name}
		if c.Status != 0 {
			want, named = c.Status, nil
		}
		if response.StatusCode != want || !slices.Equal(heard, named) || want == 200 && len(body) > 0 {
			t.Errorf("%s: %d, the agent heard of %q and got the credential %q", c.Name, response.StatusCode, heard, body)
		}
	}
}

func TestRelayWithoutARequestIsRefused(t *testing.T) {
	web := relayCluster(t, nil)
	for _, token := range []string{"", "guessed"} {
		if conn, err := new(agentlink.Dialer).DialRelay(t.Context(), strings.TrimPrefix(web.URL, "http://"), token); err == nil {
			conn.Close()
			t.Errorf("token %q was good", token)
		}
	}
}

func TestRequestsForAgentsAreBounded(t *testing.T) {
	var q relays
	for range maxRelays {
		if _, _, ok := q.expect(); !ok {
			t.Fatal("refused below the bound")
		}
	}
	if _, _, ok := q.expect(); ok {
		t.Error("accepted above the bound")
	}
}

func TestCallerThatGoesAwayLeavesNobodyWaiting(t *testing.T) {
	web := relayCluster(t, nil) // the agent never dials
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "POST", web.URL+"/agent/S0/api/v1", nil)
	if response, err := http.DefaultClient.Do(request); err == nil {
		t.Errorf("status %d", response.StatusCode)
	}
}
