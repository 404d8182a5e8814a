package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"sync"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/internal/broadcast"
	"agora.dev/agora/master/core"
	"google.golang.org/protobuf/proto"
)

// maxEvents bounds the operator events that are not encoded yet; there are that many only if encoding
// is slower than the core for long.
const maxEvents = 1 << 16

// change is what happens on an operator stream: an event, or without one a heartbeat.
type change struct{ event core.OperatorEvent }

// audience are the subscribers who get the same bytes: all who may see everything, and otherwise those of one principal, whom
// who tells from others.
type audience struct {
	media   codec.MediaType
	chunked bool
	who     string
}

// gallery is what an audience shares. Its feed ends with its last reader, unless everybody may come to it.
type gallery struct {
	feed    *broadcast.Feed[change]
	readers int
}

type watcher struct {
	audience audience
	viewer   *viewer
	conn     *streamConn
	gallery  *gallery
	reader   *broadcast.Reader // nil until its snapshot is published
}

// watchers are the subscribers of the operator API. One that has just come waits for the next
// publication, so that its snapshot and the events after it leave no gap.
type watchers struct {
	max, maxBytes int
	wg            sync.WaitGroup
	mu            sync.Mutex
	closed        bool
	interval      float64
	waiting       []*watcher
	active        []*watcher // oldest first
	galleries     map[audience]*gallery
}

// watch is the SUBSCRIBE call of the operator API.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, media codec.MediaType) {
	conn, ok := upgrade(w, r, media, newStreamID())
	if !ok {
		return
	}
	defer conn.Close()
	one := &watcher{viewer: s.viewer(r), conn: conn, audience: audience{media: media, chunked: conn.chunked}}
	if !one.viewer.All() {
		one.audience.who = one.viewer.Key()
	}
	if !s.watchers.add(one, s.cfg.Heartbeat.Seconds()) {
		return
	}
	defer s.watchers.wg.Done()
	// The publication after this event carries the snapshot.
	if s.cfg.Post(s.ctx, core.Tick{}) == nil {
		conn.discard()
	}
	s.watchers.remove(one)
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
		t.active[0].gallery.feed.Leave(t.active[0].reader)
		t.active = t.active[1:]
	}
	return true
}

// remove ends a watcher, and waits until nothing writes to its connection.
func (t *watchers) remove(w *watcher) {
	t.mu.Lock()
	same := func(other *watcher) bool { return other == w }
	t.waiting, t.active = slices.DeleteFunc(t.waiting, same), slices.DeleteFunc(t.active, same)
	g, last := w.gallery, false
	if g != nil {
		g.readers--
		if last = g.readers == 0 && w.audience.who != ""; last {
			delete(t.galleries, w.audience)
		}
	}
	t.mu.Unlock()
	if g == nil {
		return
	}
	g.feed.Cut(w.reader)
	<-w.reader.Done()
	if last {
		g.feed.Close()
	}
}

func (t *watchers) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting) + len(t.active)
}

func (t *watchers) event(e core.OperatorEvent) { t.put(change{event: e}) }

func (t *watchers) heartbeat() { t.put(change{}) }

func (t *watchers) put(c change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.galleries {
		g.feed.Put(c)
	}
}

// published lets those in who wait: what they get first is the snapshot.
func (t *watchers) published(snapshot *core.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.waiting) == 0 {
		return
	}
	firsts := map[audience]func() ([]byte, error){}
	for _, w := range t.waiting {
		if firsts[w.audience] == nil {
			// A reader's goroutine filters and encodes: this one is the core's.
			firsts[w.audience] = sync.OnceValues(func() ([]byte, error) { return w.first(w.viewer.snapshot(snapshot), t.interval) })
		}
		w.gallery = t.gallery(w)
		w.gallery.readers++
		w.reader = w.gallery.feed.Join(w.conn.Conn, firsts[w.audience])
		t.active = append(t.active, w)
	}
	t.waiting = nil
}

func (t *watchers) gallery(w *watcher) *gallery {
	g := t.galleries[w.audience]
	if g == nil {
		g = &gallery{feed: broadcast.New(broadcast.Config[change]{
			Encode:      w.encoder(),
			MaxBytes:    t.maxBytes,
			MaxMessages: maxEvents,
			Trailer:     trailer(w.audience.chunked),
		})}
		t.galleries[w.audience] = g
	}
	return g
}

// first is the beginning of a stream.
func (w *watcher) first(snapshot *core.Snapshot, interval float64) ([]byte, error) {
	state, err := codec.Marshal(w.audience.media, &master.Event{Type: master.Event_SUBSCRIBED.Enum(), Subscribed: &master.Event_Subscribed{
		GetState: stateProto(snapshot), HeartbeatIntervalSeconds: &interval}})
	if err != nil {
		return nil, err
	}
	return w.encoder()(appendFrame(nil, state, w.audience.chunked), change{})
}

var heartbeatEvent = &master.Event{Type: master.Event_HEARTBEAT.Enum()}

// encoder gives a function for one goroutine.
func (w *watcher) encoder() func([]byte, change) ([]byte, error) {
	var scratch []byte
	return func(dst []byte, c change) ([]byte, error) {
		message := heartbeatEvent
		if c.event.Type != 0 {
			seen, any := c.event, true
			if !w.viewer.All() {
				seen, any = w.viewer.event(c.event)
			}
			if !any {
				return dst, nil
			}
			message = seen.Proto()
		}
		var err error
		if w.audience.media == codec.JSON {
			scratch, err = codec.AppendJSON(scratch[:0], message)
		} else {
			scratch, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(scratch[:0], message)
		}
		if err != nil {
			return dst, err
		}
		return appendFrame(dst, scratch, w.audience.chunked), nil
	}
}

// close ends every stream; each handler then leaves.
func (t *watchers) close() {
	t.mu.Lock()
	t.closed = true
	for _, w := range t.waiting {
		w.conn.Close()
	}
	galleries := slices.Collect(maps.Values(t.galleries))
	t.mu.Unlock()
	for _, g := range galleries {
		g.feed.Close()
	}
	t.wg.Wait()
}

// Subscribers is the number of operator streams.
func (s *Server) Subscribers() int { return s.watchers.count() }
