// Package httpapi is the master's HTTP edge: the scheduler API, the operator API, the legacy
// endpoints and metrics.
//
// It owns spelling of paths, status codes, media types, streams and their bounds, and
// the JSON of the legacy views. It promises that a query never enters the core's loop, that
// encoding happens on the caller's goroutine, that a reader who does not read is cut off at a
// bound, and that no body makes it panic. It refuses to decide: calls go to the core as events,
// and what the core answers is sent as it is.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/auth/guard"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// Leader says who leads.
type Leader struct {
	// Known is false while there is no leader; Self says that it is this master.
	Known, Self bool
	// Address is the leader's "host:port".
	Address string
}

// Version is what /version and GET_VERSION say.
type Version struct {
	Version, GitSHA, GitBranch, GitTag, BuildUser, BuildDate string
	BuildTime                                                float64
}

// Config wires a server.
type Config struct {
	// Post hands an event to the core. It may block.
	Post func(context.Context, core.Event) error
	// Snapshot is the newest published state; never nil.
	Snapshot func() *core.Snapshot
	Leader   func() Leader
	Metrics  *metrics.Registry
	// Families describe the figures for Prometheus.
	Families *metrics.Families
	// Explain answers questions about the allocator's decisions; false: not in time.
	Explain func(context.Context, []allocator.Question) ([]allocator.Explanation, bool)
	// Flags are shown by /flags; LogDir and Cluster by /state.
	Flags           map[string]string
	LogDir, Cluster string
	// ExternalLog is a log that somebody else writes, shown by /state.
	ExternalLog string
	Version     Version
	Log         *slog.Logger
	// LogFile is shown by the files endpoints; empty: there is none.
	LogFile string
	// LogLevel is what SET_LOGGING_LEVEL changes; nil: nothing.
	LogLevel *slog.LevelVar
	// System gives the figures of the machine; nil: none.
	System func(emit func(name string, value float64))
	// Roles is the whitelist, shown by /roles.
	Roles []string

	// MaxBody bounds a request's body; zero: codec.MaxCallSize.
	MaxBody int64
	// BodyTimeout is how long a request's body may take to come; zero: one minute.
	BodyTimeout time.Duration
	// StreamBytes bounds what waits for the reader of a framework's stream, and for all slow readers of the
	// operator's streams who see the same (everything, or what one principal may see) together; zero: 32 MiB.
	StreamBytes int
	// MaxSubscribers bounds operator streams; zero: 1000.
	MaxSubscribers int
	// Heartbeat of operator streams; zero: 15 s.
	Heartbeat time.Duration
	// Link serves agents' connections.
	Link http.Handler
	// Access says who may do what.
	Access guard.Access
}

// Server is the edge. Make it with New.
type Server struct {
	cfg    Config
	router *router
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup

	streams  streams
	requests requests
	relays   relays
	watchers watchers
	conns    connections
	guard    *guard.Guard
	elected  atomic.Bool
	// fragments are of the last body of /state.
	fragments atomic.Pointer[fragments]
	verbosity verbosity
}

// New makes a server; Close ends it.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, ctx: ctx, stop: stop}
	s.fragments.Store(newFragments())
	s.streams.init()
	s.requests.init()
	s.verbosity.init(cfg.LogLevel)
	s.watchers.max, s.watchers.maxBytes = cfg.MaxSubscribers, cfg.StreamBytes
	s.watchers.galleries = map[audience]*gallery{}
	s.guard = s.newGuard()
	routes := s.routes()
	for path, handler := range routes {
		routes[path] = s.guard.Before(path, handler)
	}
	s.router = newRouter(routes)
	s.wg.Add(1)
	go s.heartbeats()
	return s
}

func (cfg Config) withDefaults() Config {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New()
	}
	if cfg.Families == nil {
		cfg.Families = &metrics.Families{}
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = maxBody
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = time.Minute
	}
	if cfg.StreamBytes == 0 {
		cfg.StreamBytes = 32 << 20
	}
	if cfg.MaxSubscribers == 0 {
		cfg.MaxSubscribers = 1000
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	return cfg
}

// ServeHTTP answers one request. A defect of ours costs the one request, and is logged.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		p := recover()
		switch {
		case p == nil:
		case p == http.ErrAbortHandler:
			panic(p)
		default:
			s.cfg.Log.Error("request handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			text(w, http.StatusInternalServerError, "Internal error")
		}
	}()
	route := s.router.find(r.URL.Path)
	if route == nil {
		text(w, http.StatusNotFound, "404 Not Found.")
		return
	}
	route(w, r)
}

// Deliver carries out what the core wants of this edge; it never blocks. Messages of other kinds
// are left to others: it reports false.
func (s *Server) Deliver(message core.Message) bool {
	switch m := message.(type) {
	case core.ToScheduler:
		s.streams.send(m.Conn, m.Event)
	case core.CloseConn:
		s.streams.end(m.Conn)
	case core.Answer:
		s.requests.answer(m)
	case core.OperatorEvent:
		s.watchers.event(m)
	default:
		return false
	}
	return true
}

// Published says that snapshot holds everything that was delivered so far.
func (s *Server) Published(snapshot *core.Snapshot) { s.watchers.published(snapshot) }

// Close ends every stream and waits for the goroutines. Requests that wait for the core are answered 503.
func (s *Server) Close() {
	s.stop()
	s.streams.close()
	s.watchers.close()
	s.conns.close()
	s.verbosity.close()
	s.wg.Wait()
}

func (s *Server) heartbeats() {
	defer s.wg.Done()
	ticker := time.NewTicker(s.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.watchers.heartbeat()
		case <-s.ctx.Done():
			return
		}
	}
}
