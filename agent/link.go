package agent

import (
	"context"
	"sync"
	"time"

	"agora.dev/agora/agent/core"
	link "agora.dev/agora/api/agora/link/v1"
)

// Link is an open connection to the leading master. Send and Recv are each used by one
// goroutine; Close ends both.
type Link interface {
	Send(*link.FromAgent) error
	Recv() (*link.FromMaster, error)
	Close() error
}

// Dialer finds the leading master and connects to it.
type Dialer interface {
	Dial(ctx context.Context) (Link, error)
}

const (
	dialTimeout = 30 * time.Second
	// linkQueue bounds what waits for a slow master; when it is full the link is
	// closed, and all that matters is sent again after the next registration.
	linkQueue = 16384
)

// linker owns the goroutines of the link.
type linker struct {
	dialer Dialer
	post   func(core.Event)
	ctx    context.Context // of Run: the goroutines below end with it
	wg     sync.WaitGroup

	mu     sync.Mutex
	next   core.LinkID
	active *activeLink
}

type activeLink struct {
	id    core.LinkID
	conn  Link
	queue chan outgoing
	done  chan struct{}
	once  sync.Once
}

// outgoing is a message, or the question when all before it has left.
type outgoing struct {
	message *link.FromAgent
	left    chan struct{}
}

func (l *activeLink) close() {
	l.once.Do(func() {
		close(l.done)
		l.conn.Close()
	})
}

func (l *linker) connect() {
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
		defer cancel()
		conn, err := l.dialer.Dial(ctx)
		if err != nil {
			l.post(core.LinkClosed{Reason: err.Error()})
			return
		}
		l.mu.Lock()
		l.next++
		a := &activeLink{id: l.next, conn: conn, queue: make(chan outgoing, linkQueue), done: make(chan struct{})}
		old := l.active
		l.active = a
		l.mu.Unlock()
		if old != nil {
			old.close()
		}
		stop := context.AfterFunc(l.ctx, a.close)
		defer stop()
		l.post(core.LinkOpened{Link: a.id})
		l.wg.Add(1)
		go l.writer(a)
		l.reader(a)
	}()
}

func (l *linker) reader(a *activeLink) {
	defer a.close()
	for {
		m, err := a.conn.Recv()
		if err != nil {
			l.post(core.LinkClosed{Link: a.id, Reason: err.Error()})
			return
		}
		l.post(core.FromMaster{Link: a.id, Message: m})
	}
}

func (l *linker) writer(a *activeLink) {
	defer l.wg.Done()
	defer a.close()
	for {
		select {
		case next := <-a.queue:
			if next.left != nil {
				close(next.left)
				continue
			}
			if a.conn.Send(next.message) != nil {
				return
			}
		case <-a.done:
			return
		}
	}
}

func (l *linker) send(s core.ToMaster) {
	l.mu.Lock()
	a := l.active
	l.mu.Unlock()
	if a == nil || a.id != s.Link {
		return
	}
	select {
	case a.queue <- outgoing{message: s.Message}:
	default:
		a.close()
	}
}

func (l *linker) disconnect(id core.LinkID) {
	l.mu.Lock()
	a := l.active
	l.mu.Unlock()
	if a != nil && a.id == id {
		a.close()
	}
}

// drain gives what is queued a moment to leave before the agent ends.
func (l *linker) drain() {
	l.mu.Lock()
	a := l.active
	l.mu.Unlock()
	if a == nil {
		return
	}
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	last := outgoing{left: make(chan struct{})}
	select {
	case a.queue <- last:
	case <-a.done:
		return
	case <-moment.C:
		return
	}
	select {
	case <-last.left:
	case <-a.done:
	case <-moment.C:
	}
}
