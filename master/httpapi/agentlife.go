package httpapi

import (
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/master/core"
)

// drainCommand reads DRAIN_AGENT.
func drainCommand(call *master.Call_DrainAgent) core.DrainAgent {
	command := core.DrainAgent{Agent: core.AgentID(call.GetAgentId().GetValue()), MarkGone: call.GetMarkGone()}
	if call.MaxGracePeriod != nil {
		command.MaxGracePeriod = ptr(call.MaxGracePeriod.AsDuration())
	}
	return command
}
