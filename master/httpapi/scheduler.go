package httpapi

import (
	"net/http"
	"sync"
	"sync/atomic"

	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/validation"
)

const streamIDHeader = "Mesos-Stream-Id"

// scheduler is POST /api/v1/scheduler.
func (s *Server) scheduler(w http.ResponseWriter, r *http.Request) {
	call := new(scheduler.Call)
	if !s.readCall(w, r, call) {
		return
	}
	if err := validation.Call(call, httpauth.PrincipalOf(r).Name()); err != nil {
		text(w, http.StatusBadRequest, validation.CallPrefix+err.Error())
		return
	}
	s.dispatch(w, r, call)
}

// dispatch serves a call that is well formed.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, call *scheduler.Call) {
	switch call.GetType() {
	case scheduler.Call_SUBSCRIBE:
		s.subscribe(w, r, call)
	case scheduler.Call_UNKNOWN:
		text(w, http.StatusNotImplemented, textNotImplement)
	default:
		s.schedulerCall(w, r, call)
	}
}

func (s *Server) schedulerCall(w http.ResponseWriter, r *http.Request, call *scheduler.Call) {
	if call.GetType() == scheduler.Call_RECONCILE_OPERATIONS {
		if _, ok := accepted(r); !ok {
			text(w, http.StatusNotAcceptable, textAccept)
			return
		}
	}
	id := r.Header.Get(streamIDHeader)
	p := httpauth.PrincipalOf(r)
	if busy(r) && s.takeOver(w, call, id, p) {
		return
	}
	status := s.ask(w, r, func(request core.RequestID) core.Event {
		return core.SchedulerCall{Request: request, Conn: s.streams.byID(id), StreamID: id, Principal: p.Name(), Call: call}
	})
	s.auditCall(r, call, status)
}

func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, call *scheduler.Call) {
	if _, present := r.Header[streamIDHeader]; present {
		text(w, http.StatusBadRequest, "Subscribe calls should not include the 'Mesos-Stream-Id' header")
		return
	}
	media, ok := accepted(r)
	if !ok {
		text(w, http.StatusNotAcceptable, textAccept)
		return
	}
	id := newStreamID()
	conn, ok := upgrade(w, r, media, id)
	if !ok {
		return
	}
	p := httpauth.PrincipalOf(r)
	stream := newSchedulerStream(conn, media, id, s.cfg.StreamBytes)
	stream.principal = call.GetSubscribe().GetFrameworkInfo().GetPrincipal()
	connID, ok := s.streams.add(stream)
	if !ok {
		stream.out.Cut()
		<-stream.out.Done()
		return
	}
	defer s.streams.done()
	if s.cfg.Post(s.ctx, core.FrameworkSubscribed{Conn: connID, Principal: p.Name(), Call: call.GetSubscribe()}) == nil {
		s.auditCall(r, call, http.StatusOK)
		conn.discard()
	}
	stream.out.Cut()
	<-stream.out.Done()
	s.streams.remove(connID)
	s.cfg.Post(s.ctx, core.ConnClosed{Conn: connID})
}

// auditCall says what a framework changed of itself; its launches are in its tasks.
func (s *Server) auditCall(r *http.Request, call *scheduler.Call, status int) {
	id := call.GetFrameworkId().GetValue()
	switch {
	case status == http.StatusForbidden:
		s.guard.Audit.Refused(r, call.GetType().String(), status, "framework "+id)
	case call.GetType() == scheduler.Call_SUBSCRIBE:
		info := call.GetSubscribe().GetFrameworkInfo()
		s.guard.Audit.Changed(r, call.GetType().String(), "framework "+id+" "+info.GetName()+" as "+info.GetPrincipal(), status)
	case call.GetType() == scheduler.Call_TEARDOWN, call.GetType() == scheduler.Call_UPDATE_FRAMEWORK:
		s.guard.Audit.Changed(r, call.GetType().String(), "framework "+id, status)
	}
}

// ask posts an event, answers with what the core says, and gives the answer's status.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, event func(core.RequestID) core.Event) int {
	id, wait := s.requests.open()
	if err := s.cfg.Post(r.Context(), event(id)); err != nil {
		s.requests.forget(id)
		text(w, http.StatusServiceUnavailable, "Master is shutting down")
		return http.StatusServiceUnavailable
	}
	select {
	case answer := <-wait:
		s.requests.recycle(wait)
		text(w, answer.Status, answer.Text)
		return answer.Status
	case <-r.Context().Done():
		s.requests.forget(id)
	case <-s.ctx.Done():
		s.requests.forget(id)
		text(w, http.StatusServiceUnavailable, "Master is shutting down")
	}
	return http.StatusServiceUnavailable
}

// requests are the callers that wait for the core.
type requests struct {
	next atomic.Uint64
	pool sync.Pool
	mu   sync.Mutex
	wait map[core.RequestID]chan core.Answer
}

func (q *requests) init() {
	q.wait = map[core.RequestID]chan core.Answer{}
	q.pool.New = func() any { return make(chan core.Answer, 1) }
}

func (q *requests) open() (core.RequestID, chan core.Answer) {
	id := core.RequestID(q.next.Add(1))
	wait := q.pool.Get().(chan core.Answer)
	q.mu.Lock()
	q.wait[id] = wait
	q.mu.Unlock()
	return id, wait
}

func (q *requests) answer(a core.Answer) {
	q.mu.Lock()
	wait := q.wait[a.Request]
	delete(q.wait, a.Request)
	q.mu.Unlock()
	if wait != nil {
		wait <- a
	}
}

// recycle takes a channel back whose answer was received.
func (q *requests) recycle(wait chan core.Answer) { q.pool.Put(wait) }

func (q *requests) forget(id core.RequestID) {
	q.mu.Lock()
	delete(q.wait, id)
	q.mu.Unlock()
}
