// Package agentlink is the master's side of the agents' connections.
//
// It owns the open links and their goroutines. It promises that every link that was reported
// open is reported closed exactly once, that messages of one link are handed on in order,
// and that Close leaves no goroutine. It refuses to decide anything about agents: that is
// the core's.
package agentlink

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master/core"
)

// Server accepts links. Make it with New.
type Server struct {
	post func(context.Context, core.Event) error
	ctx  context.Context
	stop context.CancelFunc
	next atomic.Uint64
	wg   sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	links  map[core.LinkID]*agentlink.Peer
}

// New makes a server that hands events to post, which may block: agents are read no faster
// than the core goes.
func New(post func(context.Context, core.Event) error) *Server {
	ctx, stop := context.WithCancel(context.Background())
	return &Server{post: post, ctx: ctx, stop: stop, links: map[core.LinkID]*agentlink.Peer{}}
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + agentlink.Protocol + "\r\n\r\n"

// ServeHTTP upgrades a request, and returns when the link has ended.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.EqualFold(r.Header.Get("Upgrade"), agentlink.Protocol) {
		w.Header().Set("Upgrade", agentlink.Protocol)
		http.Error(w, "Expecting 'Upgrade: "+agentlink.Protocol+"'", http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "This connection cannot be upgraded", http.StatusInternalServerError)
		return
	}
	if _, err := conn.Write([]byte(upgraded)); err != nil {
		conn.Close()
		return
	}
	s.serve(agentlink.NewPeer(conn, buffered.Reader), conn.RemoteAddr(), httpauth.PrincipalOf(r).Name())
}

// Pipe opens a link in memory, for agents in the master's own process. Its goroutine ends with the link.
func (s *Server) Pipe() *agentlink.Stream {
	here, there := net.Pipe()
	go s.serve(agentlink.NewPeer(here, nil), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, "")
	return agentlink.NewStream(there)
}

func (s *Server) serve(peer *agentlink.Peer, remote net.Addr, principal string) {
	defer peer.Close()
	id := core.LinkID(s.next.Add(1))
	if !s.add(id, peer) {
		return
	}
	defer s.wg.Done()
	if s.post(s.ctx, core.AgentLinkOpened{Link: id, IP: addressOf(remote), Principal: principal}) != nil {
		s.remove(id)
		return
	}
	for {
		message, err := peer.Recv()
		if err != nil {
			break
		}
		if s.post(s.ctx, core.AgentMessage{Link: id, Message: message}) != nil {
			break
		}
	}
	s.remove(id)
	s.post(s.ctx, core.AgentLinkClosed{Link: id})
}

func addressOf(remote net.Addr) string {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil {
		return remote.String()
	}
	return host
}

func (s *Server) add(id core.LinkID, peer *agentlink.Peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.links[id] = peer
	s.wg.Add(1)
	return true
}

func (s *Server) remove(id core.LinkID) {
	s.mu.Lock()
	delete(s.links, id)
	s.mu.Unlock()
}

func (s *Server) link(id core.LinkID) *agentlink.Peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.links[id]
}

// Send queues a message on a link. It never blocks; for a link that is gone it does nothing.
func (s *Server) Send(id core.LinkID, message *link.FromMaster) {
	if peer := s.link(id); peer != nil {
		peer.Send(message)
	}
}

// CloseLink ends a link after what was sent before.
func (s *Server) CloseLink(id core.LinkID) {
	if peer := s.link(id); peer != nil {
		peer.End()
	}
}

// Len is the number of open links.
func (s *Server) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.links)
}

// Close cuts every link, accepts no more, and waits for the goroutines.
func (s *Server) Close() {
	s.stop()
	s.mu.Lock()
	s.closed = true
	for _, peer := range s.links {
		peer.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
