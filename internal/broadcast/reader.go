package broadcast

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// Conn is what a feed needs of a net.Conn. One that is also a syscall.Conn is written to without a
// goroutine of its own while it takes its bytes at once.
type Conn interface {
	io.Writer
	io.Closer
	SetWriteDeadline(time.Time) error
}

// Reader is one connection of a feed.
type Reader struct {
	conn  Conn
	raw   syscall.RawConn // nil: only writes that may block
	first func() ([]byte, error)
	done  chan struct{}

	// Of the feed, under its lock. A reader that lags is at chunk at, byte off; until is the chunk
	// before which one that leaves ends.
	at, off int
	writing bool // that chunk
	leaving bool
	until   int
	err     error

	// Of the feed's goroutine: one attempt to write.
	attempt func(fd uintptr) bool
	buf     []byte
	wrote   int
	failure error
}

func newReader(conn Conn, first func() ([]byte, error)) *Reader {
	r := &Reader{conn: conn, first: first, done: make(chan struct{})}
	if plain, ok := conn.(syscall.Conn); ok {
		r.raw, _ = plain.SyscallConn()
	}
	r.attempt = func(fd uintptr) bool {
		for {
			r.wrote, r.failure = syscall.Write(int(fd), r.buf)
			if r.failure != syscall.EINTR {
				return true
			}
		}
	}
	return r
}

// Done is closed when the connection is closed and nothing of the reader runs any more.
func (r *Reader) Done() <-chan struct{} { return r.done }

// Err says why the reader ended; it is for after Done.
func (r *Reader) Err() error { return r.err }

// try writes as much as the connection takes at once.
func (r *Reader) try(buf []byte) (int, error) {
	if r.raw == nil {
		return 0, nil
	}
	r.buf = buf
	err := r.raw.Write(r.attempt)
	r.buf = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(r.failure, syscall.EAGAIN):
		return 0, nil
	case r.failure != nil:
		return 0, r.failure
	}
	return r.wrote, nil
}

// write writes all of buf; each piece may take as long as timeout.
func (r *Reader) write(buf []byte, timeout time.Duration) error {
	for len(buf) > 0 {
		piece := buf[:min(len(buf), chunk)]
		r.conn.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := r.conn.Write(piece); err != nil {
			return err
		}
		buf = buf[len(piece):]
	}
	r.conn.SetWriteDeadline(time.Time{})
	return nil
}

// end says why a reader ends, unless that was said before. The caller holds the feed's lock.
func (r *Reader) end(err error) {
	if r.err == nil {
		r.err = err
	}
}

// finish is the last thing that happens to a reader.
func (f *Feed[T]) finish(r *Reader) {
	f.mu.Lock()
	f.readers--
	f.mu.Unlock()
	r.conn.Close()
	close(r.done)
}

// catchUp is a lagging reader's goroutine: it writes until the reader has everything, or has ended.
func (f *Feed[T]) catchUp(r *Reader) {
	err := f.begin(r)
	for err == nil {
		var buf []byte
		if buf, err = f.next(r); err == nil && buf == nil {
			return // ready
		}
		if err == nil {
			err = r.write(buf, f.cfg.WriteTimeout)
		}
	}
	if errors.Is(err, errLeft) {
		r.write(f.cfg.Trailer, time.Second) // a courtesy
		err = ErrClosed
	}
	f.mu.Lock()
	r.end(err)
	f.release(r)
	f.trim()
	f.mu.Unlock()
	f.finish(r)
}

// begin writes what a reader gets first.
func (f *Feed[T]) begin(r *Reader) error {
	if r.first == nil {
		return nil
	}
	buf, err := r.first()
	r.first = nil
	if err != nil {
		return err
	}
	return r.write(buf, f.cfg.WriteTimeout)
}

// errLeft: the reader leaves and has everything.
var errLeft = errors.New("left")

// next gives the piece that follows the last one, which was written. Without one the reader is ready, and
// the feed's goroutine serves it from now on.
func (f *Feed[T]) next(r *Reader) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	if r.writing {
		f.at[r.at-f.first]--
		r.at, r.off, r.writing = r.at+1, 0, false
		f.at[r.at-f.first]++
		f.trim()
	}
	switch {
	case r.leaving && r.at >= r.until:
		return nil, errLeft
	case r.at == f.end():
		f.release(r)
		f.trim()
		f.ready = append(f.ready, r)
		return nil, nil
	}
	r.writing = true
	return f.chunks[r.at-f.first][r.off:], nil
}
