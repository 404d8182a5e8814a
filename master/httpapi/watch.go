package httpapi

import (
	"net/http"
	"sync"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/internal/outbox"
	"agora.dev/agora/master/core"
)

// record is one event of the operator stream, encoded once for all readers of a media type.
type record struct {
	make          func() *master.Event
	json, binary  sync.Once
	asJSON, asBin []byte
	err           error
}

func (e *record) encode(media codec.MediaType) ([]byte, error) {
	if media == codec.JSON {
		e.json.Do(func() { e.asJSON, e.err = codec.Marshal(codec.JSON, e.make()) })
		return e.asJSON, e.err
	}
	e.binary.Do(func() { e.asBin, e.err = codec.Marshal(codec.Protobuf, e.make()) })
	return e.asBin, e.err
}

// Bounds of an operator stream's queue, in events; sizes are not known before they are encoded.
const (
	maxEvents     = 1 << 16
	estimatedSize = 512
)

type watcher struct {
	out    *outbox.Outbox[*record]
	viewer *viewer
}

// watchers are the subscribers of the operator API. One that has just come waits for the next
// publication, so that its snapshot and the events after it leave no gap.
type watchers struct {
	max      int
	wg       sync.WaitGroup
	mu       sync.Mutex
	closed   bool
	interval float64
	waiting  []*watcher
	active   []*watcher // oldest first
}

// watch is the SUBSCRIBE call of the operator API.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, media codec.MediaType) {
	conn, ok := upgrade(w, r, media, newStreamID())
	if !ok {
		return
	}
	watcher := &watcher{viewer: s.viewer(r), out: outbox.New(conn, outbox.Config[*record]{
		Encode: func(dst []byte, e *record) ([]byte, error) {
			bytes, err := e.encode(media)
			if err != nil {
				return dst, err
			}
			return conn.frame(dst, bytes), nil
		},
		Size:        func(*record) int { return estimatedSize },
		MaxBytes:    s.cfg.StreamBytes,
		MaxMessages: maxEvents,
		Trailer:     conn.trailer(),
	})}
	if s.watchers.add(watcher, s.cfg.Heartbeat.Seconds()) {
		defer s.watchers.wg.Done()
		// The publication after this event carries the snapshot.
		if s.cfg.Post(s.ctx, core.Tick{}) == nil {
			conn.discard()
		}
		s.watchers.remove(watcher)
	}
	watcher.out.Cut()
	<-watcher.out.Done()
}

func (t *watchers) add(w *watcher, interval float64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Add(1)
	t.interval = interval
	t.waiting = append(t.waiting, w)
	if len(t.waiting)+len(t.active) > t.max && len(t.active) > 0 {
		t.active[0].out.Close()
		t.active = t.active[1:]
	}
	return true
}

func (t *watchers) remove(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = without(t.waiting, w)
	t.active = without(t.active, w)
}

func without(list []*watcher, w *watcher) []*watcher {
	kept := list[:0:0]
	for _, other := range list {
		if other != w {
			kept = append(kept, other)
		}
	}
	return kept
}

func (t *watchers) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting) + len(t.active)
}

func (t *watchers) event(e core.OperatorEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.active) == 0 {
		return
	}
	shared := &record{make: e.Proto}
	for _, w := range t.active {
		switch seen, any := w.viewer.event(e); {
		case !any:
		case seen == e:
			w.out.Put(shared)
		default:
			w.out.Put(&record{make: seen.Proto})
		}
	}
}

func (t *watchers) heartbeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.active {
		w.out.Put(heartbeatRecord)
	}
}

var heartbeatRecord = &record{make: func() *master.Event { return &master.Event{Type: master.Event_HEARTBEAT.Enum()} }}

func (t *watchers) published(snapshot *core.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return
	}
	interval := t.interval
	// The stream's goroutine filters and encodes: this one is the core's.
	first := func(v *viewer) *record {
		return &record{make: func() *master.Event {
			return &master.Event{Type: master.Event_SUBSCRIBED.Enum(), Subscribed: &master.Event_Subscribed{
				GetState: stateProto(v.snapshot(snapshot)), HeartbeatIntervalSeconds: &interval}}
		}}
	}
	shared := first(&viewer{all: true})
	for _, w := range t.waiting {
		if w.viewer.all {
			w.out.Put(shared)
		} else {
			w.out.Put(first(w.viewer))
		}
		w.out.Put(heartbeatRecord)
		t.active = append(t.active, w)
	}
	t.waiting = nil
}

func (t *watchers) close() {
	t.mu.Lock()
	t.closed = true
	for _, w := range append(t.waiting, t.active...) {
		w.out.Cut()
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// Subscribers is the number of operator streams.
func (s *Server) Subscribers() int { return s.watchers.count() }
