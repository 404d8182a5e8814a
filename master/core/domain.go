package core

import "agora.dev/agora/api/mesos/v1"

// Texts for agents whose fault domain does not fit.
const (
	noDomain      = "The agent has a fault domain and the master has none: start the master with --domain, or the agent without"
	noAgentDomain = "The agent has no fault domain and the master requires one (--require_agent_domain): start the agent with --domain"
)

// misplaced says what is wrong with an agent's fault domain; empty: nothing. Without --require_agent_domain an agent
// that has none counts as near. Mesos ignores such agents.
func (c *Core) misplaced(info *mesos.AgentInfo) string {
	domain := info.GetDomain().GetFaultDomain()
	switch {
	case domain != nil && c.cfg.Master.GetDomain().GetFaultDomain() == nil:
		return noDomain
	case domain == nil && c.cfg.RequireAgentDomain:
		return noAgentDomain
	}
	return ""
}
