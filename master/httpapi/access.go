package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"agora.dev/agora/auth"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/firewall"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/ratelimit"
	"agora.dev/agora/master/core"
)

// Access says who is let in, and to what. Its zero value lets everybody do everything.
type Access struct {
	// Readonly, Readwrite, Scheduler and Agent are the realms; one that is nil asks nobody.
	Readonly, Readwrite, Scheduler, Agent *httpauth.Realm
	// ACLs decide about calls and about what queries and streams show.
	ACLs *auth.ACLs
	// Limits slow principals down.
	Limits *ratelimit.Limits
	// Firewall names the endpoints that are switched off.
	Firewall *firewall.Rules
	// Audit hears of every refusal and every change.
	Audit *audit.Log
}

// realm names the realm of a route.
type realm uint8

const (
	// open routes ask nobody: they say nothing of what runs here.
	open realm = iota + 1
	readonly
	readwrite
	schedulers
	agents
)

func (a *Access) realm(r realm) *httpauth.Realm {
	switch r {
	case readonly:
		return a.Readonly
	case readwrite:
		return a.Readwrite
	case schedulers:
		return a.Scheduler
	case agents:
		return a.Agent
	}
	return nil
}

// routeAccess is what a route asks of its caller before its handler runs.
type routeAccess struct {
	realm  realm
	action auth.Action
	object auth.Object
	// reads is asked instead when the method is GET or HEAD, unless None.
	reads auth.Action
}

func endpoint(r realm, path string) routeAccess {
	return routeAccess{realm: r, action: auth.GetEndpoint, object: auth.Of(path)}
}

// routeTable declares every route, those that are not built as well. What a route shows or changes is
// checked again: queries by the viewer (visible.go), changes by the command (commands.go).
var routeTable = map[string]routeAccess{
	"/api/v1":               {realm: readwrite},
	"/api/v1/scheduler":     {realm: schedulers},
	"/agent":                {realm: readwrite}, // the agent asks again
	"/api/agora/relay":      {realm: agents},
	"/api/agora/link":       {realm: agents},
	"/api/agora/why":        {realm: readonly},
	"/api/agora/offers":     {realm: readonly},
	"/health":               {realm: open},
	"/version":              {realm: open},
	"/redirect":             {realm: open},
	"/help":                 {realm: open},
	"/":                     {realm: open},
	"/state":                {realm: readonly},
	"/state-summary":        {realm: readonly},
	"/slaves":               {realm: readonly},
	"/frameworks":           {realm: readonly},
	"/tasks":                {realm: readonly},
	"/roles":                {realm: readonly},
	"/maintenance/status":   {realm: readonly, action: auth.GetMaintenanceStatus},
	"/flags":                {realm: readonly, action: auth.ViewFlags},
	"/system/stats":         {realm: readonly},
	"/metrics/snapshot":     endpoint(readonly, "/metrics/snapshot"),
	"/metrics/prometheus":   endpoint(readonly, "/metrics/snapshot"),
	"/files/browse":         {realm: readonly, action: auth.AccessMesosLog},
	"/files/read":           {realm: readonly, action: auth.AccessMesosLog},
	"/files/download":       {realm: readonly, action: auth.AccessMesosLog},
	"/files/debug":          endpoint(readonly, "/files/debug"),
	"/logging/toggle":       endpoint(readwrite, "/logging/toggle"),
	"/teardown":             {realm: readwrite},
	"/quota":                {realm: readwrite},
	"/weights":              {realm: readwrite},
	"/reserve":              {realm: readwrite},
	"/unreserve":            {realm: readwrite},
	"/create-volumes":       {realm: readwrite},
	"/destroy-volumes":      {realm: readwrite},
	"/machine/down":         {realm: readwrite},
	"/machine/up":           {realm: readwrite},
	"/maintenance/schedule": {realm: readwrite, reads: auth.GetMaintenanceSchedule},
}

// Texts of refusals.
const (
	textNoName     = "The request's authenticated principal contains claims, but no value string. The master currently requires that principals have a value"
	textUndeclared = "Nobody may use this route: it does not say what it asks of its callers"
	textForeign    = "Requests that change something may not come from pages of another site"
)

// guard lets a handler see only requests that its route allows; PrincipalOf tells it who sent them.
func (s *Server) guard(path string, next http.HandlerFunc) http.HandlerFunc {
	access, declared := routeTable[path]
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Access.Firewall.Stops(w, r, path) {
			return
		}
		if !declared {
			s.forbid(w, r, path, textUndeclared)
			return
		}
		if r, ok := s.admit(w, r, path, access); ok {
			next(w, r)
		}
	}
}

// admit authenticates a request, slows it down, and asks whether it may use the route. Without an
// answer of ours it gives the request with its principal.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, path string, access routeAccess) (*http.Request, bool) {
	if err := s.foreign.Check(r); err != nil {
		s.forbid(w, r, path, textForeign)
		return r, false
	}
	p, refusal := s.cfg.Access.realm(access.realm).Authenticate(r)
	if refusal != nil {
		s.cfg.Access.Audit.Refused(r, path, refusal.Status, refusal.Reason)
		refusal.Write(w)
		return r, false
	}
	r = httpauth.WithPrincipal(r, p)
	if p != nil && p.Value == "" {
		s.forbid(w, r, path, textNoName)
		return r, false
	}
	if access.realm != open && !s.wait(w, r, path) {
		return r, false
	}
	action := access.action
	if access.reads != auth.None && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		action = access.reads
	}
	if !s.cfg.Access.ACLs.Allows(p, action, access.object) {
		s.forbid(w, r, path, notAllowed(action))
		return r, false
	}
	return r, true
}

// wait holds a request until its principal's rate allows it.
func (s *Server) wait(w http.ResponseWriter, r *http.Request, path string) bool {
	name := httpauth.PrincipalOf(r).Name()
	if name == "" {
		name = s.streams.principal(r.Header.Get(streamIDHeader))
	}
	err := s.cfg.Access.Limits.Wait(r.Context(), name)
	var full *ratelimit.OverCapacity
	switch {
	case err == nil:
		return true
	case errors.As(err, &full):
		s.cfg.Access.Audit.Refused(r, path, http.StatusTooManyRequests, err.Error())
		w.Header().Set("Retry-After", "1")
		text(w, http.StatusTooManyRequests, err.Error())
	}
	return false
}

// forbid answers 403, and says so in the audit log.
func (s *Server) forbid(w http.ResponseWriter, r *http.Request, what, reason string) {
	s.cfg.Access.Audit.Refused(r, what, http.StatusForbidden, reason)
	text(w, http.StatusForbidden, reason)
}

func notAllowed(action auth.Action) string { return "Not authorized: " + action.String() }

// permit asks every question about a call, or answers 403 and reports false.
func (s *Server) permit(w http.ResponseWriter, r *http.Request, what string, questions []auth.Question) bool {
	p := httpauth.PrincipalOf(r)
	for _, q := range questions {
		if !s.cfg.Access.ACLs.Allows(p, q.Action, q.Object) {
			s.forbid(w, r, what, notAllowed(q.Action))
			return false
		}
	}
	return true
}

// askOperator has the core carry out a command, if its sender may have that: the one way from
// an operator's request to the core.
func (s *Server) askOperator(w http.ResponseWriter, r *http.Request, command core.OperatorCommand) {
	what := fmt.Sprintf("%T", command)
	questions, declared := commandQuestions(command, s.cfg.Snapshot)
	if !declared {
		s.forbid(w, r, what, textUndeclared)
		return
	}
	if !s.permit(w, r, what, questions) {
		return
	}
	status := s.ask(w, r, func(id core.RequestID) core.Event {
		return core.OperatorCall{Request: id, Principal: httpauth.PrincipalOf(r).Name(), Call: command}
	})
	s.cfg.Access.Audit.Changed(r, what, fmt.Sprintf("%+v", command), status)
}
