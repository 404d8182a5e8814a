package core

import (
	"fmt"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// describeReady prints a Ready, one line for each thing in it.
func describeReady(r Ready) []string {
	var lines []string
	for _, p := range r.Persist {
		lines = append(lines, fmt.Sprintf("persist %d: %s", p.ID, p.Op))
	}
	for _, m := range r.Send {
		lines = append(lines, describeMessage(m))
	}
	for _, n := range r.Notes {
		if n.StepDown {
			lines = append(lines, "step down: "+n.Text)
		}
	}
	return lines
}

func describeMessage(m Message) string {
	switch m := m.(type) {
	case ToScheduler:
		return fmt.Sprintf("to scheduler %d: %s", m.Conn, describeSchedulerEvent(m.Event))
	case CloseConn:
		return fmt.Sprintf("close conn %d", m.Conn)
	case ToAgent:
		return fmt.Sprintf("to agent %d: %s", m.Link, describeLinkMessage(toJSON(m.Message)))
	case CloseLink:
		return fmt.Sprintf("close link %d", m.Link)
	case Answer:
		return strings.TrimSpace(fmt.Sprintf("answer %d: %d %s", m.Request, m.Status, m.Text))
	case OperatorEvent:
		return "operator: " + describeOperatorEvent(m)
	case ToAllocator:
		return "allocator: " + describeAllocatorEvent(m.Event)
	}
	return fmt.Sprintf("%#v", m)
}

func describeSchedulerEvent(e *scheduler.Event) string {
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		return "SUBSCRIBED " + e.GetSubscribed().GetFrameworkId().GetValue()
	case scheduler.Event_HEARTBEAT:
		return "HEARTBEAT"
	case scheduler.Event_ERROR:
		return "ERROR " + e.GetError().GetMessage()
	case scheduler.Event_RESCIND:
		return "RESCIND " + e.GetRescind().GetOfferId().GetValue()
	case scheduler.Event_OFFERS:
		var parts []string
		for _, o := range e.GetOffers().GetOffers() {
			text := fmt.Sprintf("%s on %s %s", o.GetId().GetValue(), o.GetAgentId().GetValue(), amountsOf(o.GetResources()))
			if o.Unavailability != nil {
				text += " " + describeUnavailability(o.Unavailability)
			}
			parts = append(parts, text)
		}
		return "OFFERS " + strings.Join(parts, ", ")
	case scheduler.Event_INVERSE_OFFERS:
		var parts []string
		for _, o := range e.GetInverseOffers().GetInverseOffers() {
			parts = append(parts, fmt.Sprintf("%s on %s %s", o.GetId().GetValue(), o.GetAgentId().GetValue(), describeUnavailability(o.Unavailability)))
		}
		return "INVERSE_OFFERS " + strings.Join(parts, ", ")
	case scheduler.Event_RESCIND_INVERSE_OFFER:
		return "RESCIND_INVERSE_OFFER " + e.GetRescindInverseOffer().GetInverseOfferId().GetValue()
	case scheduler.Event_UPDATE:
		return "UPDATE " + describeStatus(e.GetUpdate().GetStatus())
	case scheduler.Event_FAILURE:
		return "FAILURE " + toJSON(e.GetFailure())
	}
	return toJSON(e)
}

func describeUnavailability(u *mesos.Unavailability) string {
	return fmt.Sprintf("unavailable@%s for %s", time.Unix(0, u.GetStart().GetNanoseconds()).Sub(testStart),
		time.Duration(u.GetDuration().GetNanoseconds()))
}

// describeMaintenance prints the machines, and the answers of frameworks.
func describeMaintenance(s *Snapshot) []string {
	var lines []string
	for _, m := range s.Maintenance.Machines {
		lines = append(lines, fmt.Sprintf("machine %s %s %s", registry.MachineKey(m.Id), m.GetMode(), describeUnavailability(m.Unavailability)))
	}
	for a := range s.Agents.All() {
		for _, status := range a.InverseStatuses {
			lines = append(lines, fmt.Sprintf("  %s of %s for agent %s", status.GetStatus(), status.GetFrameworkId().GetValue(), a.ID))
		}
	}
	return lines
}

func describeStatus(s *mesos.TaskStatus) string {
	parts := []string{s.GetTaskId().GetValue(), s.GetState().String()}
	if s.AgentId != nil {
		parts = append(parts, "agent="+s.GetAgentId().GetValue())
	}
	if s.Reason != nil {
		parts = append(parts, s.GetReason().String())
	}
	if s.Uuid != nil {
		parts = append(parts, "uuid="+strings.TrimSpace(string(s.GetUuid())))
	}
	if s.UnreachableTime != nil {
		parts = append(parts, fmt.Sprintf("unreachable@%s", time.Unix(0, s.GetUnreachableTime().GetNanoseconds()).Sub(testStart)))
	}
	if s.Message != nil {
		parts = append(parts, fmt.Sprintf("%q", s.GetMessage()))
	}
	return strings.Join(parts, " ")
}

// describeLinkMessage shortens what every message repeats.
func describeLinkMessage(json string) string {
	for _, noise := range []string{
		`,"master":{"id":"m","ip":16777343,"port":5050,"hostname":"leader"}`, `,"ping_timeout_seconds":75.0`,
		`,"shell":true`,
	} {
		json = strings.ReplaceAll(json, noise, "")
	}
	return json
}

func describeOperatorEvent(e OperatorEvent) string {
	switch e.Type {
	case TaskAdded:
		return "TASK_ADDED " + e.Task.Base.GetTaskId().GetValue()
	case TaskUpdated:
		return fmt.Sprintf("TASK_UPDATED %s %s", e.Task.Base.GetTaskId().GetValue(), e.Task.State)
	case AgentAdded, AgentRemoved:
		return fmt.Sprintf("%s %s", e.Proto().GetType(), e.Agent.ID)
	}
	return fmt.Sprintf("%s %s", e.Proto().GetType(), e.Framework.ID)
}

func describeAllocatorEvent(e AllocatorEvent) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", e), "core.Allocator")
	switch e := e.(type) {
	case AllocatorSetQuotas:
		for _, role := range sortedKeys(e.Quotas) {
			name += fmt.Sprintf(" %s guarantees %s limits %s", role, quantitiesOf(e.Quotas[role].GetGuarantees()), quantitiesOf(e.Quotas[role].GetLimits()))
		}
		return name
	case AllocatorAddFramework:
		return fmt.Sprintf("%s %s active=%t suppressed=%v", name, e.ID, e.Active, e.Suppressed)
	case AllocatorUpdateFramework:
		return fmt.Sprintf("%s %s suppressed=%v", name, e.ID, e.Suppressed)
	case AllocatorAddAgent:
		text := fmt.Sprintf("%s %s %s active=%t", name, e.ID, amountsOf(e.Total), e.Active)
		for _, id := range sortedKeys(e.Used) {
			text += fmt.Sprintf(" used by %s: %s", id, amountsOf(e.Used[id]))
		}
		return text
	case AllocatorUpdateAgent:
		return fmt.Sprintf("%s %s %s", name, e.ID, amountsOf(e.Total))
	case AllocatorLendAgent:
		return fmt.Sprintf("%s %s %s", name, e.ID, amountsOf(e.Revocable))
	case AllocatorRecover:
		return fmt.Sprintf("%s %s on %s: %s refused for %s", name, e.Framework, e.Agent, amountsOf(e.Resources), e.Refusal)
	case AllocatorChange:
		text := fmt.Sprintf("%s %d of %s: %s into %s", name, e.Asked, e.Agent, amountsOf(e.From), amountsOf(e.To))
		for _, back := range e.Recover {
			text += fmt.Sprintf(", after %s of %s", amountsOf(back.Resources), back.Framework)
		}
		return text
	case AllocatorShare:
		return fmt.Sprintf("%s %s on %s: %s", name, e.Framework, e.Agent, amountsOf(e.Resources))
	case AllocatorConvert:
		return fmt.Sprintf("%s %s on %s: %s into %s", name, e.Framework, e.Agent, amountsOf(e.From), amountsOf(e.To))
	}
	return fmt.Sprintf("%s %v", name, e)
}

func describeDrain(a *Agent) string {
	if a.Drain == nil {
		return ""
	}
	return fmt.Sprintf(" %s since +%s %s", a.Drain.GetState(), a.DrainSince.Sub(testStart), toJSON(a.Drain.Config))
}

// describeSnapshot prints what a reader would see.
func describeSnapshot(s *Snapshot) []string {
	var lines []string
	for f := range s.Frameworks.All() {
		lines = append(lines, fmt.Sprintf("framework %s connected=%t active=%t recovered=%t suppressed=%v", f.ID, f.Connected, f.Active,
			f.Recovered, f.SuppressedRoles))
		for _, list := range []struct {
			name string
			view View[Task]
		}{{"task", f.Tasks}, {"unreachable", f.UnreachableTasks}, {"completed", f.CompletedTasks}} {
			for t := range list.view.All() {
				lines = append(lines, fmt.Sprintf("  %s %s %s status=%s statuses=%d", list.name, t.Base.GetTaskId().GetValue(), t.State,
					t.StatusUpdateState, len(t.Statuses)))
			}
		}
		for e := range f.Executors.All() {
			lines = append(lines, fmt.Sprintf("  executor %s on %s", e.Info.GetExecutorId().GetValue(), e.Agent))
		}
	}
	for f := range s.CompletedFrameworks.All() {
		lines = append(lines, fmt.Sprintf("completed framework %s with %d tasks", f.ID, f.CompletedTasks.Len()))
	}
	for a := range s.Agents.All() {
		lines = append(lines, fmt.Sprintf("agent %s connected=%t active=%t total %s used %s offered %s%s", a.ID, a.Connected, a.Active,
			amountsOf(a.Total), amountsOf(a.Used), amountsOf(a.Offered), describeDrain(a)))
	}
	for a := range s.RecoveredAgents.All() {
		lines = append(lines, "recovered agent "+string(a.ID)+describeDrain(a))
	}
	for a := range s.UnreachableAgents.All() {
		lines = append(lines, "unreachable agent "+string(a.ID))
	}
	for a := range s.GoneAgents.All() {
		lines = append(lines, "gone agent "+string(a.ID))
	}
	for o := range s.Offers.All() {
		lines = append(lines, "offer "+o.Info.GetId().GetValue())
	}
	for o := range s.Operations.All() {
		lines = append(lines, fmt.Sprintf("operation %s %s", o.Info.GetInfo().GetType(), o.Info.GetLatestStatus().GetState()))
	}
	return append(lines, describeMaintenance(s)...)
}
