package httpapi

import (
	"net/http"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// router finds handlers under every spelling that clients use: with or without /master,
// .json and a trailing slash, and by the longest registered parent.
type router struct {
	routes map[string]http.HandlerFunc
}

// exact are those that do not stand for the paths below them.
var exact = map[string]bool{"/redirect": true, "/": true}

func newRouter(routes map[string]http.HandlerFunc) *router { return &router{routes: routes} }

// Route gives the endpoint that a path names, in any spelling. What an endpoint has below it is not a name of it.
func Route(path string) (string, bool) {
	if path != "/" {
		path = strings.TrimSuffix(path, "/")
	}
	for _, spelled := range []string{path, strings.TrimPrefix(path, "/master")} {
		for _, name := range []string{spelled, strings.TrimSuffix(spelled, ".json")} {
			if _, ok := routeTable[name]; ok {
				return name, true
			}
		}
	}
	return "", false
}

func (r *router) find(path string) http.HandlerFunc {
	if path == "/" || path == "" {
		return r.routes["/"]
	}
	path = strings.TrimSuffix(path, "/")
	if h := r.longest(path); h != nil {
		return h
	}
	if rest, ok := strings.CutPrefix(path, "/master/"); ok {
		return r.longest("/" + rest)
	}
	return nil
}

func (r *router) longest(path string) http.HandlerFunc {
	if h := r.routes[path]; h != nil {
		return h
	}
	if h := r.routes[strings.TrimSuffix(path, ".json")]; h != nil {
		return h
	}
	for {
		cut := strings.LastIndexByte(path, '/')
		if cut <= 0 {
			return nil
		}
		path = path[:cut]
		if h := r.routes[path]; h != nil && !exact[path] {
			return h
		}
	}
}

func (s *Server) routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"/api/v1":           s.leading(s.operator),
		"/api/v1/scheduler": s.leading(s.scheduler),
		"/health":           s.get(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
		"/version":          s.get(s.version),
		"/flags":            s.get(s.flags),
		"/metrics/snapshot": s.get(s.metricsSnapshot),

		"/metrics/prometheus": s.get(s.metricsPrometheus),

		"/api/agora/why":    s.leading(s.get(s.why)),
		"/api/agora/offers": s.leading(s.get(s.offerHistory)),

		"/redirect":        s.redirect,
		"/state":           s.leading(s.get(s.state)),
		"/state-summary":   s.leading(s.get(s.stateSummary)),
		"/slaves":          s.leading(s.get(s.slaves)),
		"/frameworks":      s.leading(s.get(s.frameworks)),
		"/tasks":           s.leading(s.get(s.tasks)),
		"/roles":           s.leading(s.get(s.roles)),
		"/teardown":        s.leading(s.teardown),
		"/reserve":         s.leading(s.operation("resources", func(list []*mesos.Resource) *mesos.Offer_Operation { return reserve(list, nil) })),
		"/unreserve":       s.leading(s.operation("resources", unreserve)),
		"/create-volumes":  s.leading(s.operation("volumes", create)),
		"/destroy-volumes": s.leading(s.operation("volumes", destroy)),
		"/weights":         s.leading(s.weights),
		"/quota":           s.leading(s.quota),

		"/maintenance/schedule": s.leading(s.maintenanceSchedule),
		"/maintenance/status":   s.leading(s.get(s.maintenanceStatus)),
		"/machine/down":         s.leading(s.machinesDown),
		"/machine/up":           s.leading(s.machinesUp),
	}
	for path, handler := range map[string]http.HandlerFunc{
		"/": s.root, "/help": s.help, "/system/stats": s.systemStats, "/logging/toggle": s.loggingToggle,
		"/files/browse": s.filesBrowse, "/files/read": s.filesRead, "/files/download": s.filesDownload, "/files/debug": s.filesDebug,
	} {
		routes[path] = s.get(handler)
	}
	if s.cfg.Link != nil {
		routes["/api/agora/link"] = s.leading(s.cfg.Link.ServeHTTP)
		routes["/api/agora/relay"] = s.leading(s.agentRelay)
		routes["/agent"] = s.leading(s.agent)
	}
	return routes
}

// leading lets only the leader answer: others point to it.
func (s *Server) leading(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		leader := s.cfg.Leader()
		switch {
		case !leader.Known:
			text(w, http.StatusServiceUnavailable, "No leader elected")
		case !leader.Self:
			w.Header().Set("Location", "//"+leader.Address+r.URL.RequestURI())
			text(w, http.StatusTemporaryRedirect, "")
		case !s.recovered():
			text(w, http.StatusServiceUnavailable, "Master has not finished recovery")
		default:
			next(w, r)
		}
	}
}

// recovered says whether the term has begun. It does not end while this master leads, so that
// only the first calls look at a snapshot, which may have to be waited for.
func (s *Server) recovered() bool {
	if s.elected.Load() {
		return true
	}
	if s.cfg.Snapshot().ElectedAt.IsZero() {
		return false
	}
	s.elected.Store(true)
	return true
}

// leads says whether calls are for this master to answer.
func (s *Server) leads() bool {
	leader := s.cfg.Leader()
	return leader.Known && leader.Self
}

func (s *Server) redirect(w http.ResponseWriter, _ *http.Request) {
	leader := s.cfg.Leader()
	if !leader.Known {
		text(w, http.StatusServiceUnavailable, "No leader elected")
		return
	}
	w.Header().Set("Location", "//"+leader.Address)
	text(w, http.StatusTemporaryRedirect, "")
}

// get accepts what the real endpoints accept: GET, HEAD, POST and PUT.
func (s *Server) get(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut:
			next(w, r)
		default:
			methodNotAllowed(w, r, "GET")
		}
	}
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request, allowed ...string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	text(w, http.StatusMethodNotAllowed, "405 Method Not Allowed. Expecting one of { '"+strings.Join(allowed, "', '")+
		"' }, but received '"+r.Method+"'.")
}

// text answers with a plain text, or with nothing.
func text(w http.ResponseWriter, status int, body string) {
	h := w.Header()
	if body == "" {
		h.Set("Content-Length", "0")
		w.WriteHeader(status)
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte(body))
}
