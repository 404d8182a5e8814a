package httpapi

import (
	"fmt"
	"net/http"

	"agora.dev/agora/auth"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/master/core"
)

// routeTable declares every route, those that are not built as well. What a route shows or changes is
// checked again: queries by the viewer (visible.go), changes by the command (commands.go).
var routeTable = map[string]guard.Route{
	"/api/v1":               {Realm: guard.Readwrite},
	"/api/v1/scheduler":     {Realm: guard.Scheduler},
	"/agent":                {Realm: guard.Readwrite}, // the agent asks again
	"/api/agora/relay":      {Realm: guard.Agent},
	"/api/agora/link":       {Realm: guard.Agent},
	"/api/agora/why":        {Realm: guard.Readonly},
	"/api/agora/offers":     {Realm: guard.Readonly},
	"/health":               {Realm: guard.Open},
	"/version":              {Realm: guard.Open},
	"/redirect":             {Realm: guard.Open},
	"/help":                 {Realm: guard.Open},
	"/":                     {Realm: guard.Open},
	"/state":                {Realm: guard.Readonly},
	"/state-summary":        {Realm: guard.Readonly},
	"/slaves":               {Realm: guard.Readonly},
	"/frameworks":           {Realm: guard.Readonly},
	"/tasks":                {Realm: guard.Readonly},
	"/roles":                {Realm: guard.Readonly},
	"/maintenance/status":   {Realm: guard.Readonly, Action: auth.GetMaintenanceStatus},
	"/flags":                {Realm: guard.Readonly, Action: auth.ViewFlags},
	"/system/stats":         {Realm: guard.Readonly},
	"/metrics/snapshot":     guard.Endpoint(guard.Readonly, "/metrics/snapshot"),
	"/metrics/prometheus":   guard.Endpoint(guard.Readonly, "/metrics/snapshot"),
	"/files/browse":         {Realm: guard.Readonly, Action: auth.AccessMesosLog},
	"/files/read":           {Realm: guard.Readonly, Action: auth.AccessMesosLog},
	"/files/download":       {Realm: guard.Readonly, Action: auth.AccessMesosLog},
	"/files/debug":          guard.Endpoint(guard.Readonly, "/files/debug"),
	"/logging/toggle":       guard.Endpoint(guard.Readwrite, "/logging/toggle"),
	"/teardown":             {Realm: guard.Readwrite},
	"/quota":                {Realm: guard.Readwrite},
	"/weights":              {Realm: guard.Readwrite},
	"/reserve":              {Realm: guard.Readwrite},
	"/unreserve":            {Realm: guard.Readwrite},
	"/create-volumes":       {Realm: guard.Readwrite},
	"/destroy-volumes":      {Realm: guard.Readwrite},
	"/machine/down":         {Realm: guard.Readwrite},
	"/machine/up":           {Realm: guard.Readwrite},
	"/maintenance/schedule": {Realm: guard.Readwrite, Reads: auth.GetMaintenanceSchedule},
}

const textNoName = "The request's authenticated principal contains claims, but no value string. The master currently requires that principals have a value"

// newGuard makes the way in.
func (s *Server) newGuard() *guard.Guard {
	return guard.New(guard.Config{Access: s.cfg.Access, Routes: routeTable, Nameless: textNoName,
		Sender: func(r *http.Request) string { return s.streams.principal(r.Header.Get(streamIDHeader)) }})
}

// askOperator has the core carry out a command, if its sender may have that: the one way from
// an operator's request to the core.
func (s *Server) askOperator(w http.ResponseWriter, r *http.Request, command core.OperatorCommand) {
	what := fmt.Sprintf("%T", command)
	questions, declared := commandQuestions(command, s.cfg.Snapshot)
	if !declared {
		s.guard.Forbid(w, r, what, guard.TextUndeclared)
		return
	}
	if !s.guard.Permit(w, r, what, questions) {
		return
	}
	status := s.ask(w, r, func(id core.RequestID) core.Event {
		return core.OperatorCall{Request: id, Principal: httpauth.PrincipalOf(r).Name(), Call: command}
	})
	s.guard.Audit.Changed(r, what, fmt.Sprintf("%+v", command), status)
}
