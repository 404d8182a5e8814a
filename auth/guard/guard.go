// Package guard stands before the routes of a component: it finds out who sent a request, slows senders
// down, and asks whether they may use the route.
//
// It owns what a route can ask of its callers and the texts of refusals. It promises that a route
// without a row lets nobody in, and that every refusal is in the audit log. It refuses to know what a
// route does: what it shows and changes is asked about by its handler.
package guard

import (
	"context"
	"errors"
	"net/http"

	"agora.dev/agora/auth"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/firewall"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/ratelimit"
)

// Realm names the realm of a route.
type Realm uint8

const (
	// Open routes ask nobody: they say nothing of what runs here.
	Open Realm = iota + 1
	Readonly
	Readwrite
	Scheduler
	Agent
	Executor
)

// Access says who is let in, and to what. Its zero value lets everybody do everything.
type Access struct {
	// The realms; one that is nil asks nobody.
	Readonly, Readwrite, Scheduler, Agent, Executor *httpauth.Realm
	// ACLs decide about calls and about what queries and streams show.
	ACLs *auth.ACLs
	// Limits slow principals down.
	Limits *ratelimit.Limits
	// Firewall names the endpoints that are switched off.
	Firewall *firewall.Rules
	// Audit hears of every refusal and every change.
	Audit *audit.Log
}

func (a *Access) realm(r Realm) *httpauth.Realm {
	switch r {
	case Readonly:
		return a.Readonly
	case Readwrite:
		return a.Readwrite
	case Scheduler:
		return a.Scheduler
	case Agent:
		return a.Agent
	case Executor:
		return a.Executor
	}
	return nil
}

// Route is what a route asks of its caller before its handler runs.
type Route struct {
	Realm  Realm
	Action auth.Action
	Object auth.Object
	// Reads is asked instead when the method is GET or HEAD, unless None.
	Reads auth.Action
}

// Endpoint is a route whose path is in get_endpoints.
func Endpoint(r Realm, path string) Route {
	return Route{Realm: r, Action: auth.GetEndpoint, Object: auth.Of(path)}
}

// Texts of refusals.
const (
	TextUndeclared = "Nobody may use this route: it does not say what it asks of its callers"
	textForeign    = "Requests that change something may not come from pages of another site"
)

// NotAllowed is the text of a refusal.
func NotAllowed(action auth.Action) string { return "Not authorized: " + action.String() }

// Config is what a Guard is made of.
type Config struct {
	Access
	// Routes has a row for each route.
	Routes map[string]Route
	// Nameless is the answer to principals that have claims and no name; empty: they are let in, as
	// executors are at agents.
	Nameless string
	// Sender may be nil; it names who is slowed down for a request of nobody.
	Sender func(*http.Request) string
}

// Guard is the way in. Make it with New.
type Guard struct {
	Config
	foreign *http.CrossOriginProtection
}

// New makes a guard.
func New(config Config) *Guard { return &Guard{config, http.NewCrossOriginProtection()} }

// Before lets a handler see only requests that its route allows; httpauth.PrincipalOf tells it who sent them.
func (g *Guard) Before(path string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r, ok := g.Admit(w, r, path); ok {
			next(w, r)
		}
	}
}

// Admit authenticates a request, slows it down, and asks whether it may use a route. Without an
// answer of ours it gives the request with its principal.
func (g *Guard) Admit(w http.ResponseWriter, r *http.Request, path string) (*http.Request, bool) {
	if g.Firewall.Stops(w, r, path) {
		return r, false
	}
	route, declared := g.Routes[path]
	if !declared {
		g.Forbid(w, r, path, TextUndeclared)
		return r, false
	}
	r, ok := g.identify(w, r, path, route)
	if !ok {
		return r, false
	}
	p := httpauth.PrincipalOf(r)
	if p != nil && p.Value == "" && g.Nameless != "" {
		g.Forbid(w, r, path, g.Nameless)
		return r, false
	}
	// An executor's updates must not wait for what its agent's operators do.
	if route.Realm != Open && route.Realm != Executor && !g.wait(w, r, path) {
		return r, false
	}
	action := route.Action
	if route.Reads != auth.None && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		action = route.Reads
	}
	if action != auth.None && !g.ACLs.Allows(p, action, route.Object) {
		g.Forbid(w, r, path, NotAllowed(action))
		return r, false
	}
	return r, true
}

// identify finds the principal. That of a vouched request is taken as it is, in the realms of operators.
func (g *Guard) identify(w http.ResponseWriter, r *http.Request, path string, route Route) (*http.Request, bool) {
	if v, ok := r.Context().Value(vouchKey{}).(vouch); ok && (route.Realm == Readonly || route.Realm == Readwrite) {
		return httpauth.WithPrincipal(r, v.who), true
	}
	if err := g.foreign.Check(r); err != nil {
		g.Forbid(w, r, path, textForeign)
		return r, false
	}
	p, refusal := g.realm(route.Realm).Authenticate(r)
	if refusal != nil {
		g.Audit.Refused(r, path, refusal.Status, refusal.Reason)
		refusal.Write(w)
		return r, false
	}
	return httpauth.WithPrincipal(r, p), true
}

// wait holds a request until its principal's rate allows it.
func (g *Guard) wait(w http.ResponseWriter, r *http.Request, path string) bool {
	name := httpauth.PrincipalOf(r).Name()
	if name == "" && g.Sender != nil {
		name = g.Sender(r)
	}
	err := g.Limits.Wait(r.Context(), name)
	var full *ratelimit.OverCapacity
	switch {
	case err == nil:
		return true
	case errors.As(err, &full):
		g.Audit.Refused(r, path, http.StatusTooManyRequests, err.Error())
		w.Header().Set("Retry-After", "1")
		text(w, http.StatusTooManyRequests, err.Error())
	}
	return false
}

// Forbid answers 403, and says so in the audit log.
func (g *Guard) Forbid(w http.ResponseWriter, r *http.Request, what, reason string) {
	g.Audit.Refused(r, what, http.StatusForbidden, reason)
	text(w, http.StatusForbidden, reason)
}

// Permit asks every question about a call, or answers 403 and reports false.
func (g *Guard) Permit(w http.ResponseWriter, r *http.Request, what string, questions []auth.Question) bool {
	p := httpauth.PrincipalOf(r)
	for _, q := range questions {
		if !g.ACLs.Allows(p, q.Action, q.Object) {
			g.Forbid(w, r, what, NotAllowed(q.Action))
			return false
		}
	}
	return true
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// vouchKey is where the context of a vouched request has its sender.
type vouchKey struct{}

type vouch struct{ who *auth.Principal }

// Vouch marks requests that come over a connection of somebody who has authenticated their senders, and has
// refused what pages of other sites ask for. A nil principal is somebody who was not asked there.
func Vouch(ctx context.Context, who *auth.Principal) context.Context {
	return context.WithValue(ctx, vouchKey{}, vouch{who})
}

// Vouched says whether a request came that way.
func Vouched(r *http.Request) bool { return r.Context().Value(vouchKey{}) != nil }
