package registry

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/quota"
)

// Contents is the registry in memory. The keys of its maps are agent ids, or role names.
type Contents struct {
	Admitted    map[string]Admitted
	Unreachable map[string]time.Time
	Gone        map[string]time.Time
	// Deactivated and Draining hold agents in any of the three states above.
	Deactivated map[string]bool
	Draining    map[string]Drain
	Weights     map[string]float64
	Quotas      map[string]*quota.QuotaConfig
	// Schedule is nil when there is none; Machines holds those that are not UP.
	Schedule *maintenance.Schedule
	Machines map[string]*mesos.MachineInfo
}

// Admitted is an agent that may have tasks.
type Admitted struct {
	Info *mesos.AgentInfo
	At   time.Time
}

// Drain is a drain under way or done, and when an operator asked for it.
type Drain struct {
	Info  *mesos.DrainInfo
	Since time.Time
}

// NewContents is an empty registry.
func NewContents() *Contents {
	return &Contents{
		Admitted:    map[string]Admitted{},
		Unreachable: map[string]time.Time{},
		Gone:        map[string]time.Time{},
		Deactivated: map[string]bool{},
		Draining:    map[string]Drain{},
		Weights:     map[string]float64{},
		Quotas:      map[string]*quota.QuotaConfig{},
		Machines:    map[string]*mesos.MachineInfo{},
	}
}

// Apply carries out op in memory.
func (c *Contents) Apply(op Op) { op.apply(c) }
