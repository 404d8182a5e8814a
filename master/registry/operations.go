package registry

import (
	"maps"
	"slices"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/quota"
)

// Admit adds an agent, brings one back from unreachable, or replaces its info.
type Admit struct {
	Info *mesos.AgentInfo
	At   time.Time
}

// Remove forgets an agent that said goodbye, or whose host has a new one.
type Remove struct{ ID string }

// MarkUnreachable moves an admitted agent to the unreachable ones.
type MarkUnreachable struct {
	ID string
	At time.Time
}

// MarkGone moves an agent, admitted or unreachable, to those that never return.
type MarkGone struct {
	ID string
	At time.Time
}

// Prune forgets unreachable and gone agents that are old or too many.
type Prune struct{ IDs []string }

// SetDeactivated says whether an agent's resources may be offered. To activate an agent ends its
// drain.
type SetDeactivated struct {
	ID          string
	Deactivated bool
}

// SetDrain stores how far the drain of an agent is. A draining agent is deactivated.
type SetDrain struct {
	ID    string
	Drain Drain
}

// SetWeights stores the weights of roles.
type SetWeights struct{ Weights map[string]float64 }

// SetQuotas stores the quotas of roles; one without guarantees and limits deletes.
type SetQuotas struct{ Configs []*quota.QuotaConfig }

// SetMaintenance replaces the schedule and the mode of the machines it names.
type SetMaintenance struct {
	Schedule *maintenance.Schedule
	Machines map[string]*mesos.MachineInfo
}

func (op Admit) String() string           { return "admit " + op.Info.GetId().GetValue() }
func (op Remove) String() string          { return "remove " + op.ID }
func (op MarkUnreachable) String() string { return "mark unreachable " + op.ID }
func (op MarkGone) String() string        { return "mark gone " + op.ID }
func (op Prune) String() string           { return "prune" }
func (op SetDeactivated) String() string  { return "set deactivated " + op.ID }
func (op SetDrain) String() string {
	return "set drain " + op.ID + " " + op.Drain.Info.GetState().String()
}
func (op SetWeights) String() string     { return "set weights" }
func (op SetQuotas) String() string      { return "set quotas" }
func (op SetMaintenance) String() string { return "set maintenance" }

func (op Admit) apply(c *Contents) {
	id := op.Info.GetId().GetValue()
	delete(c.Unreachable, id)
	c.Admitted[id] = Admitted(op)
}

func (op Remove) apply(c *Contents) {
	delete(c.Admitted, op.ID)
	delete(c.Deactivated, op.ID)
	delete(c.Draining, op.ID)
}

func (op MarkUnreachable) apply(c *Contents) {
	delete(c.Admitted, op.ID)
	c.Unreachable[op.ID] = op.At
}

func (op MarkGone) apply(c *Contents) {
	delete(c.Admitted, op.ID)
	delete(c.Unreachable, op.ID)
	delete(c.Deactivated, op.ID)
	delete(c.Draining, op.ID)
	c.Gone[op.ID] = op.At
}

func (op Prune) apply(c *Contents) {
	for _, id := range op.IDs {
		delete(c.Unreachable, id)
		delete(c.Gone, id)
		delete(c.Deactivated, id)
		delete(c.Draining, id)
	}
}

func (op SetDeactivated) apply(c *Contents) {
	if op.Deactivated {
		c.Deactivated[op.ID] = true
		return
	}
	delete(c.Deactivated, op.ID)
	delete(c.Draining, op.ID)
}

func (op SetDrain) apply(c *Contents) {
	c.Deactivated[op.ID] = true
	c.Draining[op.ID] = op.Drain
}

func (op SetWeights) apply(c *Contents) { maps.Copy(c.Weights, op.Weights) }

func (op SetQuotas) apply(c *Contents) {
	for _, config := range op.Configs {
		if emptyQuota(config) {
			delete(c.Quotas, config.GetRole())
			continue
		}
		c.Quotas[config.GetRole()] = config
	}
}

func (op SetMaintenance) apply(c *Contents) {
	c.Schedule = op.Schedule
	for key, machine := range op.Machines {
		if machine.GetMode() == mesos.MachineInfo_UP {
			delete(c.Machines, key)
			continue
		}
		c.Machines[key] = machine
	}
}

func emptyQuota(config *quota.QuotaConfig) bool {
	return len(config.GetGuarantees()) == 0 && len(config.GetLimits()) == 0
}

// MachineKey names a machine: its hostname in lower case, a blank, and its address.
func MachineKey(id *mesos.MachineID) string {
	return lower(id.GetHostname()) + " " + id.GetIp()
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
