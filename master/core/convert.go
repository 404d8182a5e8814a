package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// Proto makes the message of an operator event.
func (e OperatorEvent) Proto() *master.Event {
	switch e.Type {
	case TaskAdded:
		return &master.Event{Type: master.Event_TASK_ADDED.Enum(), TaskAdded: &master.Event_TaskAdded{Task: e.Task.Proto()}}
	case TaskUpdated:
		return &master.Event{Type: master.Event_TASK_UPDATED.Enum(), TaskUpdated: &master.Event_TaskUpdated{
			FrameworkId: e.Task.Base.FrameworkId,
			Status:      e.Status,
			State:       e.Task.State.Enum(),
		}}
	case AgentAdded:
		return &master.Event{Type: master.Event_AGENT_ADDED.Enum(), AgentAdded: &master.Event_AgentAdded{Agent: e.Agent.Proto()}}
	case AgentRemoved:
		return &master.Event{Type: master.Event_AGENT_REMOVED.Enum(), AgentRemoved: &master.Event_AgentRemoved{AgentId: agentID(e.Agent.ID)}}
	case FrameworkAdded:
		return &master.Event{Type: master.Event_FRAMEWORK_ADDED.Enum(), FrameworkAdded: &master.Event_FrameworkAdded{Framework: e.Framework.eventProto()}}
	case FrameworkUpdated:
		return &master.Event{Type: master.Event_FRAMEWORK_UPDATED.Enum(), FrameworkUpdated: &master.Event_FrameworkUpdated{Framework: e.Framework.eventProto()}}
	case FrameworkRemoved:
		return &master.Event{Type: master.Event_FRAMEWORK_REMOVED.Enum(), FrameworkRemoved: &master.Event_FrameworkRemoved{FrameworkInfo: e.Framework.Info}}
	}
	return nil
}

// Proto makes the message of an agent as GET_AGENTS lists it.
func (a *Agent) Proto() *master.Response_GetAgents_Agent {
	m := &master.Response_GetAgents_Agent{
		AgentInfo:          a.Info,
		Active:             ptr(a.Active),
		Version:            ptr(a.Version),
		Pid:                ptr(a.PID),
		RegisteredTime:     timeInfo(a.RegisteredAt),
		TotalResources:     a.Total,
		AllocatedResources: a.Used,
		OfferedResources:   a.Offered,
		Capabilities:       a.Capabilities,
		Deactivated:        ptr(a.Deactivated),
		DrainInfo:          a.Drain,
	}
	if !a.ReregisteredAt.IsZero() {
		m.ReregisteredTime = timeInfo(a.ReregisteredAt)
	}
	if a.Drain != nil {
		m.EstimatedDrainStartTime = timeInfo(a.DrainSince.Truncate(time.Second)) // as Mesos, in whole seconds
	}
	return m
}

// Proto makes the message of a framework as GET_FRAMEWORKS lists it, without offers and
// resources, which are sums over other records.
func (f *Framework) Proto() *master.Response_GetFrameworks_Framework {
	m := &master.Response_GetFrameworks_Framework{
		FrameworkInfo:    f.Info,
		Active:           ptr(f.Active),
		Connected:        ptr(f.Connected),
		Recovered:        ptr(f.Recovered),
		RegisteredTime:   timeInfo(f.RegisteredAt),
		OfferConstraints: f.OfferConstraints,
	}
	// A first subscription counts as the last one, until there is another.
	m.ReregisteredTime = m.RegisteredTime
	if !f.ReregisteredAt.IsZero() {
		m.ReregisteredTime = timeInfo(f.ReregisteredAt)
	}
	if !f.UnregisteredAt.IsZero() {
		m.UnregisteredTime = timeInfo(f.UnregisteredAt)
	}
	if m.OfferConstraints == nil {
		m.OfferConstraints = &scheduler.OfferConstraints{}
	}
	return m
}

// eventProto makes the message of a framework as events have it.
func (f *Framework) eventProto() *master.Response_GetFrameworks_Framework {
	m := f.Proto()
	m.UnregisteredTime = &mesos.TimeInfo{Nanoseconds: ptr(int64(0))}
	m.OfferConstraints = nil // Mesos tells of them when it is asked
	return m
}
