package master

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/internal/flags"
	"agora.dev/agora/master/core"
)

// AgentLimits bound how fast agents are given up, and how long they are remembered.
type AgentLimits struct {
	RegistryGCInterval    time.Duration
	RegistryMaxAgentAge   time.Duration
	RegistryMaxAgentCount int
	removalRateLimit      string
	recoveryRemovalLimit  string

	removalInterval time.Duration
	recoveryLimit   *float64
}

func (l *AgentLimits) flags(s *flags.Set) {
	l.RegistryGCInterval, l.RegistryMaxAgentAge, l.RegistryMaxAgentCount = 15*time.Minute, 14*24*time.Hour, 100*1024
	l.recoveryRemovalLimit = "100%"
	s.Duration(&l.RegistryGCInterval, "registry_gc_interval", "How often old unreachable and gone agents are forgotten.")
	s.Duration(&l.RegistryMaxAgentAge, "registry_max_agent_age", "Age at which unreachable and gone agents are forgotten.")
	s.Int(&l.RegistryMaxAgentCount, "registry_max_agent_count", "Unreachable agents, and gone ones, that are remembered.")
	s.String(&l.removalRateLimit, "agent_removal_rate_limit",
		"How fast frameworks without PARTITION_AWARE are told of unreachable agents, as 1/10mins; no limit if not given.")
	s.String(&l.recoveryRemovalLimit, "recovery_agent_removal_limit",
		"Part of the registry's agents that may be missing after an election, as 50%; with more the master ends.")
	s.Alias("slave_removal_rate_limit", "agent_removal_rate_limit")
	s.Alias("recovery_slave_removal_limit", "recovery_agent_removal_limit")
}

// complete reads the options that have two parts.
func (l *AgentLimits) complete() error {
	if l.RegistryGCInterval < 0 || l.RegistryMaxAgentAge < 0 || l.RegistryMaxAgentCount < 0 {
		return fmt.Errorf("flags --registry_gc_interval, --registry_max_agent_age and --registry_max_agent_count cannot be negative")
	}
	if l.removalRateLimit != "" {
		number, text, _ := strings.Cut(l.removalRateLimit, "/")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		each, err2 := flags.ParseDuration(strings.TrimSpace(text))
		if err != nil || err2 != nil || n <= 0 || each <= 0 {
			return fmt.Errorf("flag --agent_removal_rate_limit: %q is not NUMBER/DURATION, such as 1/10mins", l.removalRateLimit)
		}
		l.removalInterval = each / time.Duration(n)
	}
	if l.recoveryRemovalLimit != "" {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(l.recoveryRemovalLimit, "%"), 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return fmt.Errorf("flag --recovery_agent_removal_limit: %q is not between 0%% and 100%%", l.recoveryRemovalLimit)
		}
		l.recoveryLimit = ptr(percent / 100)
	}
	return nil
}

// limit puts the limits into the core's configuration.
func (l *AgentLimits) limit(c *core.Config) {
	c.RegistryGCInterval, c.RegistryMaxAgentAge, c.RegistryMaxAgentCount = l.RegistryGCInterval, l.RegistryMaxAgentAge, l.RegistryMaxAgentCount
	c.AgentRemovalInterval, c.RecoveryAgentRemovalLimit = l.removalInterval, l.recoveryLimit
}
