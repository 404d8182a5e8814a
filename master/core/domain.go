package core

import "agora.dev/agora/api/mesos/v1"

// noDomain refuses an agent whose region cannot be told from the master's.
const noDomain = "The agent has a fault domain and the master has none: start the master with --domain, or the agent without"

// misplaced says whether an agent has a fault domain while the master has none (Mesos: such agents are ignored). One
// without a domain counts as near.
func (c *Core) misplaced(info *mesos.AgentInfo) bool {
	return info.GetDomain().GetFaultDomain() != nil && c.cfg.Master.GetDomain().GetFaultDomain() == nil
}
