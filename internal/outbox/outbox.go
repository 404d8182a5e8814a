// Package outbox is the bounded queue in front of a connection, with a goroutine that
// writes while there is something to write.
//
// It owns when bytes leave: whatever was put while a write was under way leaves in the next
// one, so that many small messages share a system call. It promises that Put never blocks,
// that messages leave in order, and that a receiver which does not read costs at most the
// bound before it is cut off. It refuses to know what a message is.
package outbox

import (
	"errors"
	"io"
	"sync"
	"time"
)

// Errors of Put and causes of Err.
var (
	// ErrFull: the receiver was too slow and has been cut off.
	ErrFull = errors.New("outgoing queue is full: receiver cut off")
	// ErrClosed: Close or Cut was called.
	ErrClosed = errors.New("outgoing queue is closed")
)

// Conn is what an outbox needs of a net.Conn.
type Conn interface {
	io.Writer
	io.Closer
	SetWriteDeadline(time.Time) error
}

// Config says how an outbox handles its messages.
type Config[T any] struct {
	// Encode appends the message as it goes over the wire.
	Encode func(dst []byte, message T) ([]byte, error)
	// Size estimates the encoded size, for the bound.
	Size func(T) int
	// MaxBytes and MaxMessages bound what waits. One message always fits.
	MaxBytes, MaxMessages int
	// WriteTimeout ends a single write that makes no progress; zero: one minute.
	WriteTimeout time.Duration
	// Trailer is written when Close ends the stream in good order.
	Trailer []byte
}

// chunk is how much is encoded before it is written.
const chunk = 256 << 10

// Outbox is one such queue. Make it with New.
type Outbox[T any] struct {
	cfg  Config[T]
	conn Conn
	done chan struct{}

	mu      sync.Mutex
	waiting []T
	bytes   int
	running bool // the goroutine, which ends when nothing waits
	closing bool
	ended   bool
	err     error
}

// New makes the queue, which closes conn at its end.
func New[T any](conn Conn, cfg Config[T]) *Outbox[T] {
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = time.Minute
	}
	return &Outbox[T]{cfg: cfg, conn: conn, done: make(chan struct{})}
}

// Put queues a message. When it no longer fits the receiver is cut off.
func (o *Outbox[T]) Put(message T) error {
	size := o.cfg.Size(message)
	o.mu.Lock()
	switch {
	case o.err != nil || o.closing:
		o.mu.Unlock()
		return ErrClosed
	case len(o.waiting) > 0 && (o.bytes+size > o.cfg.MaxBytes || len(o.waiting) >= o.cfg.MaxMessages):
		o.mu.Unlock()
		o.fail(ErrFull)
		return ErrFull
	}
	o.waiting = append(o.waiting, message)
	o.bytes += size
	o.start()
	o.mu.Unlock()
	return nil
}

// start has a goroutine write what waits, or say goodbye. The caller holds mu.
func (o *Outbox[T]) start() {
	if !o.running && !o.ended {
		o.running = true
		go o.run()
	}
}

// Close ends the stream after what was put before; it does not wait.
func (o *Outbox[T]) Close() {
	o.mu.Lock()
	o.closing = true
	o.start()
	o.mu.Unlock()
}

// Cut ends the stream at once.
func (o *Outbox[T]) Cut() { o.fail(ErrClosed) }

// Done is closed when nothing writes any more and the connection is closed.
func (o *Outbox[T]) Done() <-chan struct{} { return o.done }

// Err says why the outbox ended, nil while it has not.
func (o *Outbox[T]) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *Outbox[T]) fail(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
		o.waiting, o.bytes = nil, 0
	}
	last := !o.running && !o.ended
	o.ended = o.ended || last
	o.mu.Unlock()
	// A write under way ends with the connection.
	o.conn.Close()
	if last {
		close(o.done)
	}
}

func (o *Outbox[T]) run() {
	var batch []T
	buf := *buffers.Get().(*[]byte)
	for {
		var idle bool
		batch, idle = o.take(batch)
		if len(batch) == 0 {
			if !idle {
				o.conn.Close()
				close(o.done)
			}
			break
		}
		var err error
		if buf, err = o.write(buf, batch); err != nil {
			o.fail(err)
		}
		clear(batch)
	}
	if cap(buf) <= 4*chunk {
		buffers.Put(&buf)
	}
}

// buffers are for the outboxes that write: most of them are idle, and then hold none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBatch is how many messages an idle outbox has room for.
const keptBatch = 16

// take swaps what waits for the emptied batch. Without anything the goroutine ends: idle, for another one can
// follow, or for good.
func (o *Outbox[T]) take(batch []T) (next []T, idle bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil && len(o.waiting) > 0 {
		next, o.waiting, o.bytes = o.waiting, batch[:0], 0
		return next, false
	}
	o.running = false
	if o.err == nil && !o.closing {
		if o.waiting = nil; cap(batch) <= keptBatch {
			o.waiting = batch[:0]
		}
		return nil, true
	}
	if o.ended = true; o.err == nil {
		o.err = ErrClosed
		if len(o.cfg.Trailer) > 0 {
			o.conn.SetWriteDeadline(time.Now().Add(time.Second))
			o.conn.Write(o.cfg.Trailer)
		}
	}
	return nil, false
}

func (o *Outbox[T]) write(buf []byte, batch []T) ([]byte, error) {
	buf = buf[:0]
	for i, message := range batch {
		var err error
		if buf, err = o.cfg.Encode(buf, message); err != nil {
			return buf, err
		}
		if len(buf) < chunk && i+1 < len(batch) {
			continue
		}
		o.conn.SetWriteDeadline(time.Now().Add(o.cfg.WriteTimeout))
		if _, err := o.conn.Write(buf); err != nil {
			return buf, err
		}
		buf = buf[:0]
	}
	return buf, nil
}
