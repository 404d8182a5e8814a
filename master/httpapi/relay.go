package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/api/agora/pulls"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master/core"
)

// Bounds of relays: how many requests are passed on at once, and how long an agent has to
// give its connection.
const (
	maxRelays     = 1024
	relayPatience = 10 * time.Second
)

// relayed are the endpoints of an agent that are reached through the master. What they let a
// caller do is bounded by the agent, too.
var relayed = map[string]bool{
	"/api/v1": true, "/api/agora/forward": true, pulls.Path: true, "/state": true, "/containers": true, "/monitor/statistics": true,
	"/files/browse": true, "/files/read": true, "/files/download": true, "/metrics/snapshot": true, "/flags": true,
	"/version": true, "/health": true,
}

// relays are the requests that wait for an agent's connection.
type relays struct {
	mu   sync.Mutex
	wait map[string]chan net.Conn
	open int
}

func (q *relays) expect() (token string, wait chan net.Conn, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open >= maxRelays {
		return "", nil, false
	}
	q.open++
	token, wait = rand.Text(), make(chan net.Conn, 1)
	if q.wait == nil {
		q.wait = map[string]chan net.Conn{}
	}
	q.wait[token] = wait
	return token, wait, true
}

// done ends a request; a connection that came too late is closed.
func (q *relays) done(token string, wait chan net.Conn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open--
	delete(q.wait, token)
	select {
	case conn := <-wait:
		conn.Close()
	default:
	}
}

// take finds who waits for a token. It is good once.
func (q *relays) take(token string) chan net.Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := q.wait[token]
	delete(q.wait, token)
	return wait
}

// agentRelay takes the connection of an agent that was asked for one. The token is its credential.
func (s *Server) agentRelay(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.EqualFold(r.Header.Get("Upgrade"), agentlink.RelayProtocol) {
		w.Header().Set("Upgrade", agentlink.RelayProtocol)
		text(w, http.StatusUpgradeRequired, "Expecting 'Upgrade: "+agentlink.RelayProtocol+"'")
		return
	}
	wait := s.relays.take(r.Header.Get(agentlink.RelayToken))
	if wait == nil {
		text(w, http.StatusNotFound, "No request waits for this relay")
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		text(w, http.StatusInternalServerError, "This connection cannot be upgraded")
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " +
		agentlink.RelayProtocol + "\r\n\r\n")); err != nil {
		conn.Close()
		return
	}
	wait <- agentlink.NewBuffered(conn, buffered.Reader)
}

// agent passes a request on: /agent/ID/PATH, as a DC/OS cluster has it.
func (s *Server) agent(w http.ResponseWriter, r *http.Request) {
	id, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/master"), "/agent/"), "/")
	path = "/" + strings.TrimSuffix(path, "/")
	if id == "" || !relayed[path] {
		text(w, http.StatusNotFound, "404 Not Found.")
		return
	}
	w.Header().Set("Agora-Agent", id) // this answer is the agent's, or about it
	token, wait, ok := s.relays.expect()
	if !ok {
		text(w, http.StatusServiceUnavailable, "Too many requests are passed on to agents at once")
		return
	}
	defer s.relays.done(token, wait)
	open := core.OpenRelay{Agent: core.AgentID(id), Token: token, Principal: httpauth.PrincipalOf(r).Name()}
	conn, status, reason := s.relayTo(r.Context(), open, wait)
	if conn == nil {
		text(w, status, reason)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	_ = http.NewResponseController(w).EnableFullDuplex() // attached input is read while output is written
	proxyTo(conn, path).ServeHTTP(w, r)
}

// relayTo asks an agent for a connection, and waits for it.
func (s *Server) relayTo(ctx context.Context, open core.OpenRelay, wait chan net.Conn) (net.Conn, int, string) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	request, answered := s.requests.open()
	if err := s.cfg.Post(ctx, core.OperatorCall{Request: request, Principal: open.Principal, Call: open}); err != nil {
		s.requests.forget(request)
		return nil, http.StatusServiceUnavailable, "Master is shutting down"
	}
	for {
		select {
		case answer := <-answered:
			s.requests.recycle(answered)
			if answer.Status != http.StatusOK {
				return nil, answer.Status, answer.Text
			}
			answered = nil
		case conn := <-wait:
			return conn, 0, ""
		case <-s.ctx.Done():
			return nil, http.StatusServiceUnavailable, "Master is shutting down"
		case <-ctx.Done():
			s.requests.forget(request)
			return nil, http.StatusGatewayTimeout, "Agent " + string(open.Agent) + " gave no connection within " + relayPatience.String()
		}
	}
}

// proxyTo passes one request on over a connection. The credential of the caller was for the
// master: the agent does not get it.
func proxyTo(conn net.Conn, path string) *httputil.ReverseProxy {
	used := false
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, errors.New("the agent ended the connection")
			}
			used = true
			return conn, nil
		},
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "http", Host: "agent", Path: path, RawQuery: p.In.URL.RawQuery}
			p.Out.Host = "agent"
			p.Out.Header.Del("Authorization")
			p.Out.Header.Del("Cookie")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			text(w, http.StatusBadGateway, "Agent: "+err.Error())
		},
	}
}
