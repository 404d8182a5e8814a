package core

import (
	"maps"

	"agora.dev/agora/api/mesos/v1"
)

// published holds the tables that snapshots are views of, and what changed since the last one.
type published struct {
	version     uint64
	stale       bool
	frameworks  table[Framework]
	completed   ring[Framework]
	agents      table[Agent]
	recovered   table[Agent]
	unreachable table[UnreachableAgent]
	gone        table[UnreachableAgent]
	offers      table[Offer]
	operations  table[Operation]
	maintenance *Maintenance
	counters    Counters
	// reasonsShared: the map in counters is in a snapshot.
	reasonsShared   bool
	dirtyFrameworks []*framework
	dirtyAgents     []*agent
	last            *Snapshot
}

func (p *published) countReason(end TaskEnd) {
	if p.reasonsShared {
		p.counters.Reasons = maps.Clone(p.counters.Reasons)
		p.reasonsShared = false
	}
	p.counters.Reasons[end]++
}

// touchFramework notes that a framework, or something of it, changed.
func (c *Core) touchFramework(f *framework) {
	if !f.dirty {
		f.dirty = true
		c.pub.dirtyFrameworks = append(c.pub.dirtyFrameworks, f)
	}
}

func (c *Core) touchAgent(a *agent) {
	if !a.dirty {
		a.dirty = true
		c.pub.dirtyAgents = append(c.pub.dirtyAgents, a)
	}
	if a.rec.Drain != nil {
		c.reviewLater(a)
	}
}

// publish makes the immutable record of a framework as it is now.
func (f *framework) publish() *Framework {
	rec := f.rec
	rec.Tasks = f.taskTable.view()
	rec.UnreachableTasks = f.unreachableTask.view()
	rec.CompletedTasks = f.completed.view()
	rec.Executors = f.executors.view()
	return &rec
}

// publish makes the immutable record of an agent as it is now.
func (a *agent) publish() *Agent {
	rec := a.rec
	rec.Total = a.total.protos()
	rec.Used = a.used.protos()
	rec.Offered = a.offered.protos()
	rec.InverseOffers, rec.InverseStatuses = a.inverseOffers(), a.inverseStatuses()
	return &rec
}

// Snapshot is the state after the last step. It costs what changed since the last
// Snapshot, and nothing when nothing did.
func (c *Core) Snapshot() *Snapshot {
	p := &c.pub
	if p.last != nil && !p.stale {
		return p.last
	}
	for _, f := range p.dirtyFrameworks {
		f.dirty = false
		if c.frameworks[f.id] == f {
			p.frameworks.set(f.slot, f.publish())
		}
	}
	for _, a := range p.dirtyAgents {
		a.dirty = false
		if c.agents[a.id] == a {
			p.agents.set(a.slot, a.publish())
		}
	}
	p.dirtyFrameworks, p.dirtyAgents = p.dirtyFrameworks[:0], p.dirtyAgents[:0]
	p.version++
	p.reasonsShared = true
	p.stale = false
	p.last = &Snapshot{
		Version:             p.version,
		At:                  c.now,
		Master:              c.cfg.Master,
		ElectedAt:           c.electedAt,
		StartedAt:           c.startedAt,
		Frameworks:          p.frameworks.view(),
		CompletedFrameworks: p.completed.view(),
		Agents:              p.agents.view(),
		RecoveredAgents:     p.recovered.view(),
		UnreachableAgents:   p.unreachable.view(),
		GoneAgents:          p.gone.view(),
		Offers:              p.offers.view(),
		Operations:          p.operations.view(),
		Maintenance:         p.maintenance,
		Counters:            p.counters,
		Weights:             c.registry.Weights,
		Quotas:              c.registry.Quotas,
	}
	return p.last
}

// Proto assembles the message of a task.
func (t *Task) Proto() *mesos.Task {
	b := t.Base
	return &mesos.Task{
		Name: b.Name, TaskId: b.TaskId, FrameworkId: b.FrameworkId, ExecutorId: b.ExecutorId, AgentId: b.AgentId,
		State: t.State.Enum(), Resources: b.Resources, Statuses: t.Statuses,
		StatusUpdateState: statusState(t), StatusUpdateUuid: t.StatusUpdateUUID,
		Labels: b.Labels, Discovery: b.Discovery, Container: b.Container, User: b.User,
		HealthCheck: b.HealthCheck, KillPolicy: b.KillPolicy, Limits: b.Limits,
	}
}

// statusState is unset until a status came.
func statusState(t *Task) *mesos.TaskState {
	if len(t.Statuses) == 0 {
		return nil
	}
	return t.StatusUpdateState.Enum()
}
