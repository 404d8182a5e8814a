package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/api/agora/pulls"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/internal/verbosity"
)

// Backend is the agent behind the API.
type Backend interface {
	// Post hands an event to the core.
	Post(ctx context.Context, event core.Event) error
	// Snapshot shows the present.
	Snapshot(ctx context.Context) (*core.Snapshot, error)
}

// Images is the store of images.
type Images interface {
	Prune(ctx context.Context, excluded []string) error
}

// Config is what a Server is made of.
type Config struct {
	Backend    Backend
	Broker     *Broker
	Containers containerizer.Containerizer
	Tokens     *Tokens // nil: executors need no credential
	Version    string
	Endpoint   string // "ip:port"
	Flags      map[string]string
	// LogFile is attached as /slave/log; empty for none. LogDir and ExternalLog are shown by /state.
	LogFile, LogDir, ExternalLog string
	// Capabilities are those that the master is told.
	Capabilities []string
	// Images may be nil.
	Images Images
	Level  *verbosity.Level
	// Postmortems may be nil; it lists what is kept of ended runs, oldest first.
	Postmortems func() []Postmortem
	// Launched hears of each container that LAUNCH_CONTAINER or LAUNCH_NESTED_CONTAINER has made; it may be nil.
	Launched func(id containerizer.ID, sandbox string)
	// StandaloneDir holds the sandboxes of standalone containers; Standalone are those
	// that were there before this agent.
	StandaloneDir string
	Standalone    []containerizer.ID
	// Account finds a user of the host; -1 when sandboxes stay the agent's.
	Account func(user string) (uid, gid int, err error)
	// SessionDir holds the sandboxes of sessions.
	SessionDir string
	Started    time.Time
	Log        *slog.Logger
	// Access says who may do what. Tokens are the realm of executors.
	Access guard.Access
	// SwitchUser runs commands in containers as the user that they name, else as that of the container.
	SwitchUser bool
	Heartbeat  time.Duration // of sessions; 30 s
	// Figures may be nil; it adds metrics that the snapshot does not have.
	Figures func(emit func(name string, value float64))
	// Timers are metrics that the snapshot does not have either.
	Timers map[string]*metrics.Timer
	// Pulls may be nil; it gives the images that are being pulled.
	Pulls func() []pulls.Pull
}

// Server answers requests.
type Server struct {
	Config
	guard    *guard.Guard
	sessions sessions
	nested   nested
	inputs   inputs
	routes   map[string]http.HandlerFunc
}

// New makes a server.
func New(config Config) *Server {
	if config.Heartbeat == 0 {
		config.Heartbeat = 30 * time.Second
	}
	s := &Server{Config: config, sessions: sessions{open: map[containerizer.ID]*session{}, past: map[containerizer.ID]*session{}},
		nested: nested{made: map[containerizer.ID]string{}}}
	for _, id := range config.Standalone {
		s.nested.made[id] = s.standaloneSandbox(id)
	}
	if s.Tokens != nil && s.Access.Executor == nil {
		s.Access.Executor = httpauth.NewRealm(httpauth.AgentExecutor, s.Tokens)
	}
	s.guard = guard.New(guard.Config{Access: s.Access, Routes: routeTable})
	s.routes = s.handlers()
	for path, handler := range s.routes {
		s.routes[path] = s.guard.Before(path, handler)
	}
	return s
}

func (s *Server) handlers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/api/v1/executor":     s.executorAPI,
		"/api/v1":              s.operatorAPI,
		"/state":               s.legacyState,
		"/health":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"/version":             s.legacyVersion,
		"/flags":               s.legacyFlags,
		"/containers":          s.legacyContainers,
		"/monitor/statistics":  s.legacyStatistics,
		"/metrics/snapshot":    s.metricsSnapshot,
		"/metrics/prometheus":  s.metricsPrometheus,
		"/containerizer/debug": func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, map[string]any{"pending": []any{}}) },
		"/api/agora/forward":   s.forward,
		pulls.Path:             s.pulls,
		"/logging/toggle":      s.loggingToggle,
		"/help":                s.help,
		"/files/browse":        s.filesBrowse,
		"/files/read":          s.filesRead,
		"/files/download":      s.filesDownload,
		"/files/debug":         func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, listed(s.attachments(r.Context()))) },
		"/system/stats":        s.systemStats,
	}
}

var processName = regexp.MustCompile(`^/slave\(\d+\)(/|$)`)

// endpoint is a path without the process's name and without a slash at its end.
func endpoint(path string) string {
	if at := processName.FindString(path); at != "" {
		path = "/" + strings.TrimPrefix(path, at)
	} else if rest, ok := strings.CutPrefix(path, "/agent/"); ok {
		path = "/" + rest
	}
	return strings.TrimRight(path, "/")
}

// Route gives the endpoint that a path names, in any spelling. What an endpoint has below it is not a name of it.
func Route(path string) (string, bool) {
	path = endpoint(path)
	for _, name := range []string{path, strings.TrimSuffix(path, ".json")} {
		if _, ok := routeTable[name]; ok {
			return name, true
		}
	}
	return "", false
}

// ServeHTTP finds the handler by any of its spellings (mesos.md §1.5): with the process
// name, with .json, with a trailing slash; a path without a handler goes to its longest
// registered parent.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := endpoint(r.URL.Path)
	for at := path; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		if handler := s.routes[at]; handler != nil {
			handler(w, r)
			return
		}
		if handler := s.routes[strings.TrimSuffix(at, ".json")]; handler != nil {
			handler(w, r)
			return
		}
	}
	http.Error(w, "", http.StatusNotFound)
}
