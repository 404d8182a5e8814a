package httpapi

import (
	"errors"
	"net/http"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/api/agora/pulls"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
)

// routeTable declares every route. What a route shows or does is checked again: queries by the viewer
// (visible.go), calls by callTable, files and ports by the container that they belong to.
var routeTable = map[string]guard.Route{
	"/api/v1":              {Realm: guard.Readwrite},
	"/api/v1/executor":     {Realm: guard.Executor},
	"/api/agora/forward":   {Realm: guard.Readwrite},
	pulls.Path:             guard.Endpoint(guard.Readonly, "/containers"),
	"/health":              {Realm: guard.Open},
	"/version":             {Realm: guard.Open},
	"/help":                {Realm: guard.Open},
	"/state":               {Realm: guard.Readonly},
	"/flags":               {Realm: guard.Readonly, Action: auth.ViewFlags},
	"/system/stats":        {Realm: guard.Readonly},
	"/containers":          guard.Endpoint(guard.Readonly, "/containers"),
	"/monitor/statistics":  guard.Endpoint(guard.Readonly, "/monitor/statistics"),
	"/containerizer/debug": guard.Endpoint(guard.Readonly, "/containerizer/debug"),
	"/metrics/snapshot":    guard.Endpoint(guard.Readonly, "/metrics/snapshot"),
	"/metrics/prometheus":  guard.Endpoint(guard.Readonly, "/metrics/snapshot"),
	"/files/browse":        {Realm: guard.Readonly},
	"/files/read":          {Realm: guard.Readonly},
	"/files/download":      {Realm: guard.Readonly},
	"/files/debug":         guard.Endpoint(guard.Readonly, "/files/debug"),
	"/logging/toggle":      guard.Endpoint(guard.Readwrite, "/logging/toggle"),
}

// callAccess is what a call of the operator API asks of its caller.
type callAccess struct {
	// action, unless None, has to be allowed for every object.
	action auth.Action
	// filtered: the answer holds what the caller may view, and nothing else.
	filtered bool
	// path: the call is about a file, and asked about as its sandbox or log.
	path bool
	// nested is asked about a container of an executor, with its users; standalone about any other container.
	nested, standalone auth.Action
	// as, unless None, is asked about the user that a command in a container of an executor would run as.
	as auth.Action
	// changes: it is written to the audit log.
	changes bool
}

// callTable declares every call of the operator API, those that are not built as well. A call
// without a row is refused.
var callTable = map[agentapi.Call_Type]callAccess{
	agentapi.Call_UNKNOWN:                {},
	agentapi.Call_GET_HEALTH:             {},
	agentapi.Call_GET_VERSION:            {},
	agentapi.Call_GET_METRICS:            {},
	agentapi.Call_GET_LOGGING_LEVEL:      {},
	agentapi.Call_GET_FLAGS:              {action: auth.ViewFlags},
	agentapi.Call_SET_LOGGING_LEVEL:      {action: auth.SetLogLevel, changes: true},
	agentapi.Call_PRUNE_IMAGES:           {action: auth.PruneImages, changes: true},
	agentapi.Call_LIST_FILES:             {path: true},
	agentapi.Call_READ_FILE:              {path: true},
	agentapi.Call_GET_STATE:              {filtered: true},
	agentapi.Call_GET_CONTAINERS:         {filtered: true},
	agentapi.Call_GET_FRAMEWORKS:         {filtered: true},
	agentapi.Call_GET_EXECUTORS:          {filtered: true},
	agentapi.Call_GET_OPERATIONS:         {filtered: true},
	agentapi.Call_GET_TASKS:              {filtered: true},
	agentapi.Call_GET_AGENT:              {filtered: true},
	agentapi.Call_GET_RESOURCE_PROVIDERS: {filtered: true},

	agentapi.Call_LAUNCH_CONTAINER: {nested: auth.LaunchNestedContainer, as: auth.LaunchNestedContainerAsUser,
		standalone: auth.LaunchStandaloneContainer, changes: true},
	agentapi.Call_LAUNCH_NESTED_CONTAINER: {nested: auth.LaunchNestedContainer, as: auth.LaunchNestedContainerAsUser,
		standalone: auth.LaunchStandaloneContainer, changes: true},
	agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION: {nested: auth.LaunchNestedContainerSession, as: auth.LaunchNestedContainerSessionAsUser,
		standalone: auth.LaunchNestedContainerSession, changes: true},
	agentapi.Call_WAIT_CONTAINER:          {nested: auth.WaitNestedContainer, standalone: auth.WaitStandaloneContainer},
	agentapi.Call_WAIT_NESTED_CONTAINER:   {nested: auth.WaitNestedContainer, standalone: auth.WaitStandaloneContainer},
	agentapi.Call_KILL_CONTAINER:          {nested: auth.KillNestedContainer, standalone: auth.KillStandaloneContainer, changes: true},
	agentapi.Call_KILL_NESTED_CONTAINER:   {nested: auth.KillNestedContainer, standalone: auth.KillStandaloneContainer, changes: true},
	agentapi.Call_REMOVE_CONTAINER:        {nested: auth.RemoveNestedContainer, standalone: auth.RemoveStandaloneContainer, changes: true},
	agentapi.Call_REMOVE_NESTED_CONTAINER: {nested: auth.RemoveNestedContainer, standalone: auth.RemoveStandaloneContainer, changes: true},
	agentapi.Call_ATTACH_CONTAINER_INPUT:  {nested: auth.AttachContainerInput, standalone: auth.AttachContainerInput, changes: true},
	agentapi.Call_ATTACH_CONTAINER_OUTPUT: {nested: auth.AttachContainerOutput, standalone: auth.AttachContainerOutput},

	agentapi.Call_ADD_RESOURCE_PROVIDER_CONFIG:    {action: auth.ModifyResourceProviderConfig, changes: true},
	agentapi.Call_UPDATE_RESOURCE_PROVIDER_CONFIG: {action: auth.ModifyResourceProviderConfig, changes: true},
	agentapi.Call_REMOVE_RESOURCE_PROVIDER_CONFIG: {action: auth.ModifyResourceProviderConfig, changes: true},
	agentapi.Call_MARK_RESOURCE_PROVIDER_GONE:     {action: auth.MarkResourceProviderGone, changes: true},
}

// forwardAccess is what a connection to a port of a container asks: it is input and output.
var forwardAccess = []callAccess{
	{nested: auth.AttachContainerInput, standalone: auth.AttachContainerInput},
	{nested: auth.AttachContainerOutput, standalone: auth.AttachContainerOutput},
}

// granted is what a caller was let do.
type granted struct {
	// user is whom a command in a container runs as; empty: the agent's own.
	user string
	// detail is for the audit log.
	detail string
}

// askCall asks what a call of the operator API needs, or answers and reports false.
func (s *Server) askCall(w http.ResponseWriter, r *http.Request, call *agentapi.Call) (granted, bool) {
	what := call.GetType().String()
	access, declared := callTable[call.GetType()]
	switch {
	case !declared:
		s.guard.Forbid(w, r, what, guard.TextUndeclared)
		return granted{}, false
	case access.action != auth.None:
		return granted{}, s.guard.Permit(w, r, what, []auth.Question{{Action: access.action, Object: auth.Any}})
	case access.nested == auth.None:
		return granted{}, true
	}
	return s.askContainer(w, r, call, access)
}

// askContainer asks about the container that a call names.
func (s *Server) askContainer(w http.ResponseWriter, r *http.Request, call *agentapi.Call, access callAccess) (granted, bool) {
	snapshot, err := s.Backend.Snapshot(r.Context())
	switch {
	case err != nil:
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return granted{}, false
	case !snapshot.Recovered:
		answer(w, refuse(http.StatusServiceUnavailable, "%s", core.ErrRecovering))
		return granted{}, false
	}
	id := containerizer.IDOf(containerOf(call))
	o := ownerOf(snapshot, id)
	g := granted{user: commandOf(call).GetUser(), detail: "container " + string(id)}
	if g.user == "" {
		g.user = o.user
	}
	what := call.GetType().String()
	if !s.guard.Permit(w, r, what, o.questions(access, g.user)) {
		return granted{}, false
	}
	if p := httpauth.PrincipalOf(r); access.as != auth.None && s.SwitchUser && p != nil && p.Value == "" && !o.mayRunAs(g.user) {
		s.guard.Forbid(w, r, what, textForeignUser)
		return granted{}, false
	}
	if access.as != auth.None && g.user != "" {
		g.detail += " as " + g.user
	}
	if !s.SwitchUser {
		g.user = ""
	}
	return g, true
}

const textForeignUser = "An executor may launch containers as its own user and as those of its tasks"

// changed writes what a call did, or tried to do, to the audit log.
func (s *Server) changed(r *http.Request, call agentapi.Call_Type, g granted, err error) {
	if callTable[call].changes {
		s.guard.Audit.Changed(r, call.String(), g.detail, statusOf(err))
	}
}

func statusOf(err error) int {
	var r *refusal
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &r):
		return r.code
	}
	return http.StatusInternalServerError
}

// containerOf is the container that a call is about.
func containerOf(call *agentapi.Call) *mesos.ContainerID {
	switch call.GetType() {
	case agentapi.Call_LAUNCH_CONTAINER:
		return call.GetLaunchContainer().GetContainerId()
	case agentapi.Call_LAUNCH_NESTED_CONTAINER:
		return call.GetLaunchNestedContainer().GetContainerId()
	case agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION:
		return call.GetLaunchNestedContainerSession().GetContainerId()
	case agentapi.Call_WAIT_CONTAINER:
		return call.GetWaitContainer().GetContainerId()
	case agentapi.Call_WAIT_NESTED_CONTAINER:
		return call.GetWaitNestedContainer().GetContainerId()
	case agentapi.Call_KILL_CONTAINER:
		return call.GetKillContainer().GetContainerId()
	case agentapi.Call_KILL_NESTED_CONTAINER:
		return call.GetKillNestedContainer().GetContainerId()
	case agentapi.Call_REMOVE_CONTAINER:
		return call.GetRemoveContainer().GetContainerId()
	case agentapi.Call_REMOVE_NESTED_CONTAINER:
		return call.GetRemoveNestedContainer().GetContainerId()
	case agentapi.Call_ATTACH_CONTAINER_OUTPUT:
		return call.GetAttachContainerOutput().GetContainerId()
	}
	return call.GetAttachContainerInput().GetContainerId()
}

// commandOf is the command that a call would run.
func commandOf(call *agentapi.Call) *mesos.CommandInfo {
	switch call.GetType() {
	case agentapi.Call_LAUNCH_CONTAINER:
		return call.GetLaunchContainer().GetCommand()
	case agentapi.Call_LAUNCH_NESTED_CONTAINER:
		return call.GetLaunchNestedContainer().GetCommand()
	case agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION:
		return call.GetLaunchNestedContainerSession().GetCommand()
	}
	return nil
}
