package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/validation"
)

// A scheduler that acknowledges tens of thousands of updates a second pipelines its calls. The
// standard server answers one request of a connection before it reads the next, so that
// each costs a round trip through the core's loop. A connection that has shown to be such a
// scheduler's is therefore taken over: its calls are posted as they are read, and answered in
// their order.
const (
	// takeOverAfter is how many calls a connection has made before.
	takeOverAfter = 32
	// maxInFlight bounds the calls of one connection that the core has not answered.
	maxInFlight = 1024
	idleTimeout = 5 * time.Minute
	maxHeader   = 64 << 10
)

type callCounter struct{}

// ConnContext is for http.Server.ConnContext: it lets busy connections be recognised.
func ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, callCounter{}, new(atomic.Int32))
}

// busy counts a call, and says whether its connection is to be taken over.
func busy(r *http.Request) bool {
	n, ok := r.Context().Value(callCounter{}).(*atomic.Int32)
	return ok && r.ProtoAtLeast(1, 1) && r.TLS == nil && !r.Close && n.Add(1) > takeOverAfter
}

// reply is one answer in the order of requests.
type reply struct {
	id   core.RequestID
	wait chan core.Answer // nil: raw is the answer
	raw  []byte
	sent chan struct{} // closed once written, unless nil
}

type pipeline struct {
	s       *Server
	conn    net.Conn
	limit   *io.LimitedReader
	in      *bufio.Reader
	replies chan reply
	ended   chan struct{}
}

// takeOver serves the connection from now on; the first call has been read already.
func (s *Server) takeOver(w http.ResponseWriter, first *scheduler.Call, streamID string, who *auth.Principal) bool {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	conn.SetDeadline(time.Time{})
	ahead, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	limit := &io.LimitedReader{R: io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), conn)}
	p := &pipeline{s: s, conn: conn, limit: limit, in: bufio.NewReaderSize(limit, 64<<10),
		replies: make(chan reply, maxInFlight), ended: make(chan struct{})}
	if !s.conns.add(conn) {
		conn.Close()
		return true
	}
	defer s.conns.remove(conn)
	go p.write()
	defer func() {
		close(p.replies)
		<-p.ended
	}()
	if p.post(first, streamID, who) {
		for p.next() {
		}
	}
	return true
}

// next reads one request, and reports false when the connection is at its end.
func (p *pipeline) next() bool {
	p.limit.N = maxHeader + p.s.cfg.MaxBody
	p.conn.SetReadDeadline(time.Now().Add(idleTimeout))
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return false
	}
	r.RemoteAddr = p.conn.RemoteAddr().String()
	r = r.WithContext(p.s.ctx)
	w := &pipeWriter{p: p, header: http.Header{}}
	if r.Header.Get("Expect") != "" {
		p.replies <- reply{raw: []byte("HTTP/1.1 100 Continue\r\n\r\n")}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/api/v1/scheduler" {
		return p.other(w, r, p.s.ServeHTTP)
	}
	if !p.s.leads() {
		return p.other(w, r, p.s.ServeHTTP)
	}
	r, admitted := p.s.guard.Admit(w, r, r.URL.Path)
	call := new(scheduler.Call)
	if !admitted || !p.s.readCall(w, r, call) {
		return p.finish(w, r)
	}
	who := httpauth.PrincipalOf(r)
	if err := validation.Call(call, who.Name()); err != nil {
		text(w, http.StatusBadRequest, validation.CallPrefix+err.Error())
		return p.finish(w, r)
	}
	switch call.GetType() {
	case scheduler.Call_SUBSCRIBE, scheduler.Call_UNKNOWN, scheduler.Call_RECONCILE_OPERATIONS,
		scheduler.Call_TEARDOWN, scheduler.Call_UPDATE_FRAMEWORK:
		return p.other(w, r, func(w http.ResponseWriter, r *http.Request) { p.s.dispatch(w, r, call) })
	}
	return p.post(call, r.Header.Get(streamIDHeader), who) && !r.Close
}

// post hands a call to the core and queues its answer.
func (p *pipeline) post(call *scheduler.Call, streamID string, who *auth.Principal) bool {
	id, wait := p.s.requests.open()
	event := core.SchedulerCall{Request: id, Conn: p.s.streams.byID(streamID), StreamID: streamID, Principal: who.Name(), Call: call}
	if p.s.cfg.Post(p.s.ctx, event) != nil {
		p.s.requests.forget(id)
		return false
	}
	p.replies <- reply{id: id, wait: wait}
	return true
}

// other serves a request of another kind when all before it are answered.
func (p *pipeline) other(w *pipeWriter, r *http.Request, serve http.HandlerFunc) bool {
	sent := make(chan struct{})
	p.replies <- reply{sent: sent}
	select {
	case <-sent:
	case <-p.ended:
		return false
	}
	p.conn.SetReadDeadline(time.Time{})
	serve(w, r)
	if w.hijacked {
		return false
	}
	return p.finish(w, r)
}

func (p *pipeline) finish(w *pipeWriter, r *http.Request) bool {
	// What the handler left of the body would be read as the next request.
	_, err := io.Copy(io.Discard, r.Body)
	p.replies <- reply{raw: w.bytes(r)}
	return err == nil && !r.Close
}

// write sends answers in order, as many at once as there are.
func (p *pipeline) write() {
	defer close(p.ended)
	var out []byte
	broken := false
	for next := range p.replies {
		out = p.appendReply(out, next, &broken)
		if len(p.replies) > 0 && len(out) < 64<<10 && next.sent == nil {
			continue
		}
		if !broken && len(out) > 0 {
			p.conn.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := p.conn.Write(out); err != nil {
				broken = true
				p.conn.Close()
			}
			p.conn.SetWriteDeadline(time.Time{})
		}
		out = out[:0]
		if next.sent != nil {
			close(next.sent)
		}
	}
}

var accepted202 = []byte("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

func (p *pipeline) appendReply(out []byte, next reply, broken *bool) []byte {
	if next.wait == nil {
		return append(out, next.raw...)
	}
	select {
	case answer := <-next.wait:
		p.s.requests.recycle(next.wait)
		if answer.Status == http.StatusAccepted && answer.Text == "" {
			return append(out, accepted202...)
		}
		w := &pipeWriter{header: http.Header{}}
		text(w, answer.Status, answer.Text)
		return append(out, w.bytes(nil)...)
	case <-p.s.ctx.Done():
		p.s.requests.forget(next.id)
		*broken = true
		p.conn.Close()
		return out
	}
}

// pipeWriter collects one answer; handlers may take the connection over instead.
type pipeWriter struct {
	p        *pipeline
	header   http.Header
	status   int
	body     bytes.Buffer
	hijacked bool
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Hijack implements http.Hijacker.
func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.p == nil || w.hijacked {
		return nil, nil, errors.New("connection is not available")
	}
	w.hijacked = true
	w.p.limit.N = 1 << 62
	return w.p.conn, bufio.NewReadWriter(w.p.in, bufio.NewWriter(w.p.conn)), nil
}

func (w *pipeWriter) bytes(r *http.Request) []byte {
	w.WriteHeader(http.StatusOK)
	body := w.body.Bytes()
	if r != nil && r.Method == http.MethodHead {
		body = nil
	}
	w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	w.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(body)
	return out.Bytes()
}

// connections are those that were taken over, to be cut at the end.
type connections struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

func (c *connections) add(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[conn] = true
	c.wg.Add(1)
	return true
}

func (c *connections) remove(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	delete(c.open, conn)
	c.mu.Unlock()
	c.wg.Done()
}

func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.open {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}
