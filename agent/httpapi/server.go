package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/files"
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
	// LogFile is attached as /slave/log; empty for none.
	LogFile string
	// Images may be nil.
	Images Images
	Level  *verbosity.Level
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
	// Basic, when set, are the principals and secrets that operators need.
	Basic map[string]string
	// Realm begins the names of the realms.
	Heartbeat time.Duration // of sessions; 30 s
	// Figures may be nil; it adds metrics that the snapshot does not have.
	Figures func(emit func(name string, value float64))
	// Timers are metrics that the snapshot does not have either.
	Timers map[string]*metrics.Timer
}

// Server answers requests.
type Server struct {
	Config
	tree     files.Tree
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
	s.tree = s.attached
	get := s.operator("mesos-agent-readonly")
	s.routes = map[string]http.HandlerFunc{
		"/api/v1/executor":       s.executorAPI,
		"/api/v1":                s.operator("mesos-agent-readwrite")(s.operatorAPI),
		"/state":                 get(s.legacyState),
		"/health":                func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) },
		"/version":               s.legacyVersion,
		"/flags":                 get(s.legacyFlags),
		"/containers":            get(s.legacyContainers),
		"/monitor/statistics":    get(s.legacyStatistics),
		"/metrics/snapshot":      s.metricsSnapshot,
		"/metrics/prometheus":    s.metricsPrometheus,
		"/containerizer/debug":   get(func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, map[string]any{"pending": []any{}}) }),
		"/api/agora/forward":     s.operator("mesos-agent-readwrite")(s.forward),
		"/logging/toggle":        s.operator("mesos-agent-readwrite")(s.loggingToggle),
		"/help":                  s.help,
		"/files/browse":          get(s.filesBrowse),
		"/files/read":            get(s.filesRead),
		"/files/download":        get(s.filesDownload),
		"/files/debug":           get(func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, s.attached()) }),
		"/files/browse.json":     get(s.filesBrowse),
		"/files/read.json":       get(s.filesRead),
		"/files/download.json":   get(s.filesDownload),
		"/system/stats.json":     get(s.systemStats),
		"/metrics/snapshot.json": s.metricsSnapshot,
	}
	return s
}

var processName = regexp.MustCompile(`^/slave\(\d+\)(/|$)`)

// ServeHTTP finds the handler by any of its spellings (mesos.md §1.5): with the process
// name, with .json, with a trailing slash; a path without a handler goes to its longest
// registered parent.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if at := processName.FindString(path); at != "" {
		path = "/" + strings.TrimPrefix(path, at)
	} else if rest, ok := strings.CutPrefix(path, "/agent/"); ok {
		path = "/" + rest
	}
	path = strings.TrimRight(path, "/")
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

// operator wraps handlers that operators need a credential for, where one is configured.
func (s *Server) operator(realm string) func(http.HandlerFunc) http.HandlerFunc {
	return func(handler http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !s.allowed(r) {
				w.Header().Set("WWW-Authenticate", `Basic realm="`+realm+`"`)
				http.Error(w, "", http.StatusUnauthorized)
				return
			}
			handler(w, r)
		}
	}
}

// attached is the virtual file tree: each sandbox by its host path and by its Mesos
// name, and the log.
func (s *Server) attached() map[string]string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out := map[string]string{}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return out
	}
	for _, list := range [][]core.FrameworkView{snapshot.Completed, snapshot.Frameworks} {
		for _, f := range list {
			for _, e := range append(append([]core.ExecutorView(nil), f.Completed...), f.Executors...) {
				out[e.Sandbox] = e.Sandbox
				out["/frameworks/"+string(e.Run.Key.Framework)+"/executors/"+string(e.Run.Key.Executor)+"/runs/latest"] = e.Sandbox
				out[filepath.Join(filepath.Dir(e.Sandbox), "latest")] = e.Sandbox
			}
		}
	}
	s.nested.mu.Lock()
	defer s.nested.mu.Unlock()
	for id, sandbox := range s.nested.made {
		if _, nested := id.Parent(); !nested {
			out[sandbox] = sandbox
		}
	}
	if s.LogFile != "" {
		out["/slave/log"] = s.LogFile
	}
	return out
}
