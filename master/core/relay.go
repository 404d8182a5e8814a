package core

import "agora.dev/agora/api/agora/link/v1"

// OpenRelay asks an agent for a connection over which requests are passed on to its API: 200 when
// it was asked; 404 when the agent is not known, 503 when it is away.
type OpenRelay struct {
	Agent AgentID
	// Token names the request that waits for the connection.
	Token string
	// Principal is who sent the request; empty: nobody was asked.
	Principal string
}

func (OpenRelay) isOperatorCommand() {}

func (c *Core) openRelay(request RequestID, call OpenRelay) {
	a := c.agents[call.Agent]
	switch {
	case a == nil && !c.knows(call.Agent):
		c.answer(request, 404, "Agent "+string(call.Agent)+" cannot be found")
	case a == nil || a.link == nil:
		c.answer(request, 503, "Agent "+string(call.Agent)+" is not connected")
	default:
		open := &link.OpenRelay{Token: &call.Token}
		if call.Principal != "" {
			open.Principal = &call.Principal
		}
		c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_OpenRelay{OpenRelay: open}})
		c.answer(request, 200, "")
	}
}
