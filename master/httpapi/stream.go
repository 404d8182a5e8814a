package httpapi

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/recordio"
	"agora.dev/agora/internal/outbox"
	"agora.dev/agora/master/core"
	"github.com/google/uuid"
)

func newStreamID() string { return uuid.NewString() }

// streamConn is a connection that now carries one endless answer. We frame its chunks
// ourselves, so that each record is a chunk, as with Mesos, and many share a system call.
type streamConn struct {
	net.Conn
	chunked bool
}

// upgrade takes the connection over and writes the head of the answer.
func upgrade(w http.ResponseWriter, r *http.Request, media codec.MediaType, id string) (*streamConn, bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		text(w, http.StatusHTTPVersionNotSupported, "Streams need HTTP/1.1")
		return nil, false
	}
	conn.SetDeadline(time.Time{})
	c := &streamConn{Conn: conn, chunked: r.ProtoAtLeast(1, 1)}
	head := "HTTP/1.1 200 OK\r\nDate: " + time.Now().UTC().Format(http.TimeFormat)
	if c.chunked {
		head += "\r\nTransfer-Encoding: chunked"
	} else {
		head += "\r\nConnection: close"
	}
	head += "\r\nMesos-Stream-Id: " + id + "\r\nContent-Type: " + string(media) + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		conn.Close()
		return nil, false
	}
	return c, true
}

// discard waits for the end of the connection. What clients send on it is not read as calls.
func (c *streamConn) discard() {
	var buf [512]byte
	for {
		if _, err := c.Read(buf[:]); err != nil {
			return
		}
	}
}

// trailer ends an answer.
func trailer(chunked bool) []byte {
	if chunked {
		return []byte("0\r\n\r\n")
	}
	return nil
}

// appendFrame appends record, as one chunk if chunked.
func appendFrame(dst, record []byte, chunked bool) []byte {
	if !chunked {
		return recordio.Append(dst, record)
	}
	digits := 1
	for n := len(record); n >= 10; n /= 10 {
		digits++
	}
	dst = strconv.AppendInt(dst, int64(digits+1+len(record)), 16)
	dst = append(dst, '\r', '\n')
	dst = recordio.Append(dst, record)
	return append(dst, '\r', '\n')
}

// maxMessages bounds a stream's queue, beside its bytes.
const maxMessages = 1 << 18

// schedulerStream is a framework's subscription.
type schedulerStream struct {
	id string
	// principal is what the framework calls itself.
	principal string
	out       *outbox.Outbox[*scheduler.Event]
}

func newSchedulerStream(conn *streamConn, media codec.MediaType, id string, maxBytes int) *schedulerStream {
	var scratch []byte
	encode := func(dst []byte, event *scheduler.Event) ([]byte, error) {
		var err error
		if scratch, err = appendMessage(scratch[:0], media, event); err != nil {
			return dst, err
		}
		return appendFrame(dst, scratch, conn.chunked), nil
	}
	return &schedulerStream{id: id, out: outbox.New(conn, outbox.Config[*scheduler.Event]{
		Encode:      encode,
		Size:        func(e *scheduler.Event) int { return e.SizeVT() },
		MaxBytes:    maxBytes,
		MaxMessages: maxMessages,
		Trailer:     trailer(conn.chunked),
	})}
}

// appendMessage encodes a scheduler event, into the spare room of dst if it fits.
func appendMessage(dst []byte, media codec.MediaType, event *scheduler.Event) ([]byte, error) {
	if media == codec.JSON {
		return codec.AppendJSON(dst, event)
	}
	size := event.SizeVT()
	if cap(dst) < size {
		dst = make([]byte, size, 2*size)
	}
	dst = dst[:size]
	_, err := event.MarshalToSizedBufferVT(dst)
	return dst, err
}

// streams are the open subscriptions of frameworks.
type streams struct {
	wg     sync.WaitGroup
	mu     sync.RWMutex
	closed bool
	next   core.ConnID
	open   map[core.ConnID]*schedulerStream
	ids    map[string]core.ConnID
}

func (t *streams) init() {
	t.open, t.ids = map[core.ConnID]*schedulerStream{}, map[string]core.ConnID{}
}

// add registers a stream; done must follow when its handler returns.
func (t *streams) add(stream *schedulerStream) (core.ConnID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, false
	}
	t.wg.Add(1)
	t.next++
	t.open[t.next], t.ids[stream.id] = stream, t.next
	return t.next, true
}

func (t *streams) done() { t.wg.Done() }

func (t *streams) remove(id core.ConnID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stream := t.open[id]; stream != nil {
		delete(t.open, id)
		delete(t.ids, stream.id)
	}
}

func (t *streams) byID(id string) core.ConnID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ids[id]
}

// principal is what the framework of a stream calls itself.
func (t *streams) principal(id string) string {
	if stream := t.find(t.byID(id)); stream != nil {
		return stream.principal
	}
	return ""
}

func (t *streams) find(id core.ConnID) *schedulerStream {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.open[id]
}

func (t *streams) send(id core.ConnID, event *scheduler.Event) {
	if stream := t.find(id); stream != nil {
		stream.out.Put(event)
	}
}

// end closes a stream after what was sent before; its id is void at once.
func (t *streams) end(id core.ConnID) {
	stream := t.find(id)
	t.remove(id)
	if stream != nil {
		stream.out.Close()
	}
}

func (t *streams) close() {
	t.mu.Lock()
	t.closed = true
	for _, stream := range t.open {
		stream.out.Cut()
	}
	t.mu.Unlock()
	t.wg.Wait()
}
