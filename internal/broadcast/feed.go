// Package broadcast writes one endless sequence of messages to many connections.
//
// It owns when bytes leave: a message is encoded once, what came while a round of writes was
// under way leaves in the next one, and a connection that takes its bytes at once costs one
// system call a round and no goroutine. It promises that Put never blocks, that each reader gets
// what was put after it joined, whole and in order, and that all who do not read cost one
// bound together before they are cut off. It refuses to know what a message is.
package broadcast

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Causes of a reader's end.
var (
	// ErrFull: the reader was too slow and has been cut off.
	ErrFull = errors.New("reader is too slow: cut off")
	// ErrClosed: the reader left, or Leave, Cut or Close was called.
	ErrClosed = errors.New("stream is closed")
)

// Config says how a feed handles its messages.
type Config[T any] struct {
	// Encode appends the message as it goes over the wire; nothing: nobody is to see it. A message that
	// cannot be encoded ends all readers, for they would miss it.
	Encode func(dst []byte, message T) ([]byte, error)
	// MaxBytes bounds what is kept for readers that lag, MaxMessages what waits for the next round.
	MaxBytes, MaxMessages int
	// WriteTimeout ends a reader that takes nothing of a piece for so long; zero: one minute.
	WriteTimeout time.Duration
	// Trailer is written when Leave ends a reader in good order.
	Trailer []byte
}

// chunk is how much is encoded before it is written.
const chunk = 256 << 10

// The pause after a round is as long as the round was, so that a feed uses half a core at most and many
// messages share the writes when there are many readers; within these bounds.
const (
	minPause = time.Millisecond
	maxPause = 25 * time.Millisecond
)

// Feed is one such sequence. Make it with New; Close ends it.
type Feed[T any] struct {
	cfg  Config[T]
	wake chan struct{}
	quit chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	readers int // that have not finished
	waiting []item[T]
	// chunks are what lags: numbered from first, and immutable. at[i] counts the lagging readers
	// whose next byte is in chunks[i]; the last entry is of those who wait for the next chunk.
	chunks  [][]byte
	first   int
	at      []int
	bytes   int
	lagging map[*Reader]struct{}
	ready   []*Reader // have everything
	// overflow: too much waited; who was there then is cut off.
	overflow bool

	cut []*Reader // of the goroutine: given up, their connections to be closed
}

// item is a message, or a reader that comes or goes at this place of the sequence.
type item[T any] struct {
	message T
	joins   *Reader
	leaves  *Reader
}

// New makes a feed and starts its goroutine.
func New[T any](cfg Config[T]) *Feed[T] {
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = time.Minute
	}
	f := &Feed[T]{cfg: cfg, wake: make(chan struct{}, 1), quit: make(chan struct{}), at: []int{0}, lagging: map[*Reader]struct{}{}}
	f.wg.Go(f.run)
	return f
}

// Put appends a message. When too many wait already, every reader is cut off.
func (f *Feed[T]) Put(message T) {
	f.mu.Lock()
	if f.closed || f.readers == 0 {
		f.mu.Unlock()
		return
	}
	if len(f.waiting) >= f.cfg.MaxMessages {
		f.overflow = true
		f.waiting = slices.DeleteFunc(f.waiting, func(i item[T]) bool { return i.joins == nil && i.leaves == nil })
	}
	f.waiting = append(f.waiting, item[T]{message: message})
	f.mu.Unlock()
	f.signal()
}

// Join adds a reader that gets what first gives, and then whatever is put from now on. first is
// called on a goroutine of the reader. The feed closes conn at the reader's end.
func (f *Feed[T]) Join(conn Conn, first func() ([]byte, error)) *Reader {
	r := newReader(conn, first)
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		r.end(ErrClosed)
		r.conn.Close()
		close(r.done)
		return r
	}
	f.readers++
	f.waiting = append(f.waiting, item[T]{joins: r})
	f.mu.Unlock()
	f.signal()
	return r
}

// Leave ends a reader after what was put before; it does not wait.
func (f *Feed[T]) Leave(r *Reader) {
	f.mu.Lock()
	f.waiting = append(f.waiting, item[T]{leaves: r})
	f.mu.Unlock()
	f.signal()
}

// Cut ends a reader at once.
func (f *Feed[T]) Cut(r *Reader) { f.fail(r, ErrClosed) }

// Close cuts every reader off and waits for the goroutines.
func (f *Feed[T]) Close() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		f.wg.Wait()
		return
	}
	f.closed = true
	all := f.everybody()
	for _, r := range all {
		r.end(ErrClosed)
	}
	f.mu.Unlock()
	for _, r := range all {
		r.conn.Close()
	}
	close(f.quit)
	f.wg.Wait()
}

// fail ends a reader; whoever it belongs to lets go of it.
func (f *Feed[T]) fail(r *Reader, err error) {
	f.mu.Lock()
	r.end(err)
	f.mu.Unlock()
	r.conn.Close()
	f.signal()
}

func (f *Feed[T]) failAll(err error) {
	f.mu.Lock()
	all := f.everybody()
	f.mu.Unlock()
	for _, r := range all {
		f.fail(r, err)
	}
}

// everybody is all readers, those included that are about to join. The caller holds mu.
func (f *Feed[T]) everybody() []*Reader {
	all := append([]*Reader(nil), f.ready...)
	for r := range f.lagging {
		all = append(all, r)
	}
	for _, i := range f.waiting {
		if i.joins != nil {
			all = append(all, i.joins)
		}
	}
	return all
}
