package httpauth

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of guessing: burst failures at once, then one each recover. The whole is forgotten when
// it recovers fully.
const (
	burst      = 20
	recovery   = 3 * time.Second
	maxSources = 1 << 14
)

// source is who guesses: one address, at one principal's secret. A site behind one address is not
// locked out because one of its programs has an old secret. Tokens and keys cannot be guessed.
type source struct{ address, principal string }

func sourceOf(r *http.Request) source {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	principal, _, _ := r.BasicAuth()
	return source{address, principal}
}

// lockout counts failures by source.
type lockout struct {
	now func() time.Time
	mu  sync.Mutex
	// free is when a source has recovered fully; each failure moves it by recovery.
	free map[source]time.Time
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{now: now, free: map[source]time.Time{}}
}

// open says whether a source may try.
func (l *lockout) open(s source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free[s].Sub(l.now()) < burst*recovery
}

func (l *lockout) failed(s source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.free) >= maxSources {
		l.forget(now)
	}
	until := l.free[s]
	if until.Before(now) {
		until = now
	}
	l.free[s] = until.Add(recovery)
}

// forget drops the sources that have recovered, or all when none has.
func (l *lockout) forget(now time.Time) {
	for s, until := range l.free {
		if until.Before(now) {
			delete(l.free, s)
		}
	}
	if len(l.free) >= maxSources {
		clear(l.free)
	}
}
