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

// audience are the subscribers who get the same bytes. Who may see everything shares them with all
// others; for somebody else alone is the viewer.
type audience struct {
	media   codec.MediaType
	chunked bool
	alone   *viewer
}

type watcher struct {
	audience audience
	viewer   *viewer
	conn     *streamConn
	feed     *broadcast.Feed[change]
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
	feeds         map[audience]*broadcast.Feed[change]
}

// watch is the SUBSCRIBE call of the operator API.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, media codec.MediaType) {
	conn, ok := upgrade(w, r, media, newStreamID())
	if !ok {
		return
	}
	defer conn.Close()
	one := &watcher{viewer: s.viewer(r), conn: conn, audience: audience{media: media, chunked: conn.chunked}}
	if !one.viewer.all {
		one.audience.alone = one.viewer
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
		t.active[0].feed.Leave(t.active[0].reader)
		t.active = t.active[1:]
	}
	return true
}

// remove ends a watcher, and waits until nothing writes to its connection.
func (t *watchers) remove(w *watcher) {
	t.mu.Lock()
	same := func(other *watcher) bool { return other == w }
	t.waiting, t.active = slices.DeleteFunc(t.waiting, same), slices.DeleteFunc(t.active, same)
	feed, reader := w.feed, w.reader
	if w.audience.alone != nil {
		delete(t.feeds, w.audience)
	}
	t.mu.Unlock()
	if reader == nil {
		return
	}
	feed.Cut(reader)
	<-reader.Done()
	if w.audience.alone != nil {
		feed.Close()
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
	for _, feed := range t.feeds {
		feed.Put(c)
	}
}

// published lets those in who wait: what they get first is the snapshot.
func (t *watchers) published(snapshot *core.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return
	}
	firsts := map[audience]func() ([]byte, error){}
	for _, w := range t.waiting {
		if firsts[w.audience] == nil {
			// A reader's goroutine filters and encodes: this one is the core's.
			firsts[w.audience] = sync.OnceValues(func() ([]byte, error) { return w.audience.first(w.viewer.snapshot(snapshot), t.interval) })
		}
		w.feed = t.feed(w.audience)
		w.reader = w.feed.Join(w.conn.Conn, firsts[w.audience])
		t.active = append(t.active, w)
	}
	t.waiting = nil
}

func (t *watchers) feed(a audience) *broadcast.Feed[change] {
	feed := t.feeds[a]
	if feed == nil {
		feed = broadcast.New(broadcast.Config[change]{
			Encode:      a.encoder(),
			MaxBytes:    t.maxBytes,
			MaxMessages: maxEvents,
			Trailer:     trailer(a.chunked),
		})
		t.feeds[a] = feed
	}
	return feed
}

// first is the beginning of a stream.
func (a audience) first(snapshot *core.Snapshot, interval float64) ([]byte, error) {
	state, err := codec.Marshal(a.media, &master.Event{Type: master.Event_SUBSCRIBED.Enum(), Subscribed: &master.Event_Subscribed{
		GetState: stateProto(snapshot), HeartbeatIntervalSeconds: &interval}})
	if err != nil {
		return nil, err
	}
	return a.encoder()(appendFrame(nil, state, a.chunked), change{})
}

var heartbeatEvent = &master.Event{Type: master.Event_HEARTBEAT.Enum()}

// encoder gives a function for one goroutine.
func (a audience) encoder() func([]byte, change) ([]byte, error) {
	var scratch []byte
	return func(dst []byte, c change) ([]byte, error) {
		message := heartbeatEvent
		if c.event.Type != 0 {
			seen, any := c.event, true
			if a.alone != nil {
				seen, any = a.alone.event(c.event)
			}
			if !any {
				return dst, nil
			}
			message = seen.Proto()
		}
		var err error
		if a.media == codec.JSON {
			scratch, err = codec.AppendJSON(scratch[:0], message)
		} else {
			scratch, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(scratch[:0], message)
		}
		if err != nil {
			return dst, err
		}
		return appendFrame(dst, scratch, a.chunked), nil
	}
}

// close ends every stream; each handler then leaves.
func (t *watchers) close() {
	t.mu.Lock()
	t.closed = true
	for _, w := range t.waiting {
		w.conn.Close()
	}
	feeds := slices.Collect(maps.Values(t.feeds))
	t.mu.Unlock()
	for _, feed := range feeds {
		feed.Close()
	}
	t.wg.Wait()
}

// Subscribers is the number of operator streams.
func (s *Server) Subscribers() int { return s.watchers.count() }
