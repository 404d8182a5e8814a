package master

import (
	"strings"
	"testing"
	"time"

	"agora.dev/agora/master/core"
)

func TestAgentLimitsAreReadByMesosNames(t *testing.T) {
	c, err := Parse([]string{"--slave_removal_rate_limit=2/10mins", "--recovery_agent_removal_limit=25.5%",
		"--registry_max_agent_age=3days", "--registry_max_agent_count=7", "--registry_gc_interval=1mins"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got core.Config
	c.limit(&got)
	if got.AgentRemovalInterval != 5*time.Minute || *got.RecoveryAgentRemovalLimit != 0.255 || got.RegistryMaxAgentAge != 72*time.Hour ||
		got.RegistryMaxAgentCount != 7 || got.RegistryGCInterval != time.Minute {
		t.Errorf("limits: %+v", got)
	}
	for _, bad := range []string{"--agent_removal_rate_limit=10mins", "--agent_removal_rate_limit=0/1mins", "--agent_removal_rate_limit=1/",
		"--recovery_agent_removal_limit=101%", "--recovery_agent_removal_limit=NaN", "--registry_max_agent_count=-1"} {
		name, _, _ := strings.Cut(bad, "=")
		if _, err := Parse([]string{bad}, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
