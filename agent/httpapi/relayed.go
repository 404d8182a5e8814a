package httpapi

import (
	"net/http"
	"slices"

	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/auth/guard"
)

// notRelayed are the calls that are made at the agent itself: they change the machine, not a
// task.
var notRelayed = []agentapi.Call_Type{
	agentapi.Call_LAUNCH_CONTAINER, agentapi.Call_PRUNE_IMAGES, agentapi.Call_SET_LOGGING_LEVEL,
	agentapi.Call_ADD_RESOURCE_PROVIDER_CONFIG, agentapi.Call_UPDATE_RESOURCE_PROVIDER_CONFIG,
	agentapi.Call_REMOVE_RESOURCE_PROVIDER_CONFIG, agentapi.Call_MARK_RESOURCE_PROVIDER_GONE,
}

func checkRelayed(r *http.Request, call agentapi.Call_Type) error {
	if guard.Vouched(r) && slices.Contains(notRelayed, call) {
		return refuse(http.StatusForbidden, "%s is not passed on by the master: call the agent itself", call)
	}
	return nil
}
