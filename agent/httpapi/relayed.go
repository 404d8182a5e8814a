package httpapi

import (
	"context"
	"net/http"
	"slices"

	agentapi "agora.dev/agora/api/mesos/v1/agent"
)

// relayKey marks the context of a request that came through the master.
type relayKey struct{}

// Relayed serves requests that the master passes on. It has checked who asks, as it has for
// everything else that it tells this agent to do; what may be asked for is bounded here.
func (s *Server) Relayed() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), relayKey{}, true)))
	})
}

func isRelayed(r *http.Request) bool { return r.Context().Value(relayKey{}) != nil }

// notRelayed are the calls that are made at the agent itself: they change the machine, not a
// task.
var notRelayed = []agentapi.Call_Type{
	agentapi.Call_LAUNCH_CONTAINER, agentapi.Call_PRUNE_IMAGES, agentapi.Call_SET_LOGGING_LEVEL,
	agentapi.Call_ADD_RESOURCE_PROVIDER_CONFIG, agentapi.Call_UPDATE_RESOURCE_PROVIDER_CONFIG,
	agentapi.Call_REMOVE_RESOURCE_PROVIDER_CONFIG, agentapi.Call_MARK_RESOURCE_PROVIDER_GONE,
}

func checkRelayed(r *http.Request, call agentapi.Call_Type) error {
	if isRelayed(r) && slices.Contains(notRelayed, call) {
		return refuse(http.StatusForbidden, "%s is not passed on by the master: call the agent itself", call)
	}
	return nil
}
