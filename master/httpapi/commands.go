package httpapi

import (
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/auth"
	"agora.dev/agora/master/core"
)

// commandQuestions says what an operator has to be allowed for a command. A command without an
// arm here is refused.
func commandQuestions(command core.OperatorCommand, snapshot func() *core.Snapshot) (questions []auth.Question, declared bool) {
	any := func(action auth.Action) []auth.Question { return []auth.Question{{Action: action, Object: auth.Any}} }
	var roles []string
	action := auth.UpdateQuota
	switch c := command.(type) {
	case core.Teardown:
		// Of a framework that is not known nothing is asked: the answer is 400, as in Mesos.
		f := snapshot().Frameworks.Find(func(f *core.Framework) bool { return f.ID == c.Framework })
		if f == nil {
			return nil, true
		}
		return []auth.Question{{Action: auth.TeardownFramework, Object: auth.Of(f.Info.GetPrincipal())}}, true
	case core.MarkGone:
		return any(auth.MarkAgentGone), true
	case core.OpenRelay:
		return nil, true // the agent asks
	case core.OperateAgent:
		return auth.Operation(c.Operation), true
	case core.UpdateSchedule:
		return any(auth.UpdateMaintenanceSchedule), true
	case core.StartMaintenance:
		return any(auth.StartMaintenance), true
	case core.StopMaintenance:
		return any(auth.StopMaintenance), true
	case core.DrainAgent:
		return any(auth.DrainAgent), true
	case core.DeactivateAgent:
		return any(auth.DeactivateAgent), true
	case core.ReactivateAgent:
		return any(auth.ReactivateAgent), true
	case core.UpdateWeights:
		action = auth.UpdateWeight
		for _, info := range c.Weights {
			roles = append(roles, info.GetRole())
		}
	case core.UpdateQuota:
		for _, config := range c.Configs {
			roles = append(roles, config.GetRole())
		}
	case core.SetQuota:
		roles = []string{c.Request.GetRole()}
	case core.RemoveQuota:
		roles = []string{c.Role}
	default:
		return nil, false
	}
	for _, role := range roles {
		questions = append(questions, auth.Question{Action: action, Object: auth.Of(role)})
	}
	return questions, true
}

// callAccess is what a call of the operator API asks of its caller.
type callAccess struct {
	// action, unless None, has to be allowed for every object.
	action auth.Action
	// filtered: the answer holds what the caller may view, and nothing else.
	filtered bool
	// command: the call changes something, and is asked about as a command of the core.
	command bool
}

// callTable declares every call of the operator API, those that are not built as well. A call
// without a row is refused.
var callTable = map[master.Call_Type]callAccess{
	master.Call_UNKNOWN:                     {},
	master.Call_GET_HEALTH:                  {},
	master.Call_GET_VERSION:                 {},
	master.Call_GET_METRICS:                 {},
	master.Call_GET_LOGGING_LEVEL:           {},
	master.Call_GET_MASTER:                  {},
	master.Call_GET_FLAGS:                   {action: auth.ViewFlags},
	master.Call_SET_LOGGING_LEVEL:           {action: auth.SetLogLevel},
	master.Call_LIST_FILES:                  {action: auth.AccessMesosLog},
	master.Call_READ_FILE:                   {action: auth.AccessMesosLog},
	master.Call_GET_STATE:                   {filtered: true},
	master.Call_GET_AGENTS:                  {filtered: true},
	master.Call_GET_FRAMEWORKS:              {filtered: true},
	master.Call_GET_EXECUTORS:               {filtered: true},
	master.Call_GET_OPERATIONS:              {filtered: true},
	master.Call_GET_TASKS:                   {filtered: true},
	master.Call_GET_ROLES:                   {filtered: true},
	master.Call_GET_WEIGHTS:                 {filtered: true},
	master.Call_GET_QUOTA:                   {filtered: true},
	master.Call_SUBSCRIBE:                   {filtered: true},
	master.Call_GET_MAINTENANCE_STATUS:      {action: auth.GetMaintenanceStatus},
	master.Call_GET_MAINTENANCE_SCHEDULE:    {action: auth.GetMaintenanceSchedule},
	master.Call_UPDATE_MAINTENANCE_SCHEDULE: {action: auth.UpdateMaintenanceSchedule, command: true},
	master.Call_START_MAINTENANCE:           {action: auth.StartMaintenance, command: true},
	master.Call_STOP_MAINTENANCE:            {action: auth.StopMaintenance, command: true},
	master.Call_DRAIN_AGENT:                 {action: auth.DrainAgent, command: true},
	master.Call_DEACTIVATE_AGENT:            {action: auth.DeactivateAgent, command: true},
	master.Call_REACTIVATE_AGENT:            {action: auth.ReactivateAgent, command: true},
	master.Call_MARK_AGENT_GONE:             {action: auth.MarkAgentGone, command: true},
	master.Call_TEARDOWN:                    {command: true},
	master.Call_UPDATE_WEIGHTS:              {command: true},
	master.Call_UPDATE_QUOTA:                {command: true},
	master.Call_SET_QUOTA:                   {command: true},
	master.Call_REMOVE_QUOTA:                {command: true},
	master.Call_RESERVE_RESOURCES:           {command: true},
	master.Call_UNRESERVE_RESOURCES:         {command: true},
	master.Call_CREATE_VOLUMES:              {command: true},
	master.Call_DESTROY_VOLUMES:             {command: true},
	master.Call_GROW_VOLUME:                 {command: true},
	master.Call_SHRINK_VOLUME:               {command: true},
}

// callQuestions says what a caller of the operator API has to be allowed before anything else.
func callQuestions(call *master.Call) (questions []auth.Question, declared bool) {
	access, declared := callTable[call.GetType()]
	if access.action != auth.None {
		questions = []auth.Question{{Action: access.action, Object: auth.Any}}
	}
	return questions, declared
}
