package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/executor/probe"
)

// ForwardProtocol is what a request to /api/agora/forward is upgraded to: the bytes of one
// connection to a port of a container.
const ForwardProtocol = "agora-forward/1"

// forwardPatience bounds the wait for a port to answer.
const forwardPatience = 10 * time.Second

// forward connects the caller with a port of a task's own address (its loopback), in the network
// of its container: POST /api/agora/forward?container_id=ID&port=N.
func (s *Server) forward(w http.ResponseWriter, r *http.Request) {
	if !onlyPost(w, r) {
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), ForwardProtocol) {
		w.Header().Set("Upgrade", ForwardProtocol)
		answer(w, refuse(http.StatusUpgradeRequired, "Expecting 'Upgrade: %s'", ForwardProtocol))
		return
	}
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return
	}
	id := containerizer.ID(r.URL.Query().Get("container_id"))
	o := ownerOf(snapshot, id)
	what := "port of container " + string(id)
	for _, access := range forwardAccess {
		if !s.guard.Permit(w, r, what, o.questions(access, "")) {
			return
		}
	}
	inside, err := s.dialInside(r, snapshot, id)
	s.guard.Audit.Changed(r, what, "port "+r.URL.Query().Get("port"), statusOf(err))
	if err != nil {
		answer(w, err)
		return
	}
	defer inside.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+ForwardProtocol+"\r\n\r\n"); err != nil {
		return
	}
	splice(conn, buffered, inside)
}

func (s *Server) dialInside(r *http.Request, snapshot *core.Snapshot, id containerizer.ID) (net.Conn, error) {
	port, err := strconv.ParseUint(r.URL.Query().Get("port"), 10, 16)
	if err != nil || port == 0 {
		return nil, refuse(http.StatusBadRequest, "Expecting 'port' of 1 to 65535 in query")
	}
	executor, ok := findContainer(snapshot, id)
	if !ok {
		return nil, refuse(http.StatusNotFound, "Container %s cannot be found", id)
	}
	ctx, cancel := context.WithTimeout(r.Context(), forwardPatience)
	defer cancel()
	for _, c := range executor.Containers {
		if c.ID != id {
			continue
		}
		inside, err := probe.In(c.PID)(ctx, net.JoinHostPort("127.0.0.1", strconv.FormatUint(port, 10)))
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, refuse(http.StatusBadGateway, "Nothing listens on port %d of container %s", port, id)
		}
		if err != nil {
			return nil, refuse(http.StatusBadGateway, "Port %d of container %s: %s", port, id, err)
		}
		return inside, nil
	}
	return nil, refuse(http.StatusNotFound, "Container %s cannot be found", id)
}

// splice copies both ways until both have ended. The end of one direction is passed on.
func splice(outside net.Conn, ahead io.Reader, inside net.Conn) {
	var wg sync.WaitGroup
	one := func(to net.Conn, from io.Reader) {
		defer wg.Done()
		_, err := io.Copy(to, from)
		half, ok := to.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			inside.Close()
			outside.Close()
		}
	}
	wg.Add(2)
	go one(inside, ahead)
	go one(outside, inside)
	wg.Wait()
}
