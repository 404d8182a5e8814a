package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/registry"
)

// planner is the operator who plans maintenance, one machine at a time.
type planner struct {
	o    *operator
	busy bool
	// start is when each machine of the schedule that was acknowledged becomes unavailable; down are
	// those whose START_MAINTENANCE was acknowledged.
	start map[host]time.Time
	down  map[host]bool
	// changing is the machine of a call of which the end is not known.
	changing host
}

func newPlanner(o *operator) *planner {
	return &planner{o: o, start: map[host]time.Time{}, down: map[host]bool{}}
}

func machine(h host) *mesos.MachineID { return &mesos.MachineID{Hostname: ptr(string(h))} }

// maintain schedules a machine, and some time later takes it down and up again, or leaves it
// out of the schedule.
func (p *planner) maintain(h host) {
	if p.busy {
		return
	}
	w := p.o.w
	p.busy = true
	p.schedule(h, w.now.Add(w.upTo(time.Hour)), func() {
		w.after(w.upTo(time.Minute), func() {
			if w.chance(0.3) {
				p.schedule(h, time.Time{}, func() { p.busy = false })
				return
			}
			p.takeDown(h)
		})
	})
}

// schedule replaces the schedule by one with the machine, or without it for no start.
func (p *planner) schedule(h host, start time.Time, done func()) {
	p.changing = h
	next := maps.Clone(p.start)
	next[h] = start
	if start.IsZero() {
		delete(next, h)
		delete(p.start, h)
	}
	call := core.UpdateSchedule{Schedule: &maintenance.Schedule{}}
	for _, h := range slices.Sorted(maps.Keys(next)) {
		call.Schedule.Windows = append(call.Schedule.Windows, &maintenance.Window{MachineIds: []*mesos.MachineID{machine(h)},
			Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: ptr(next[h].UnixNano())}}})
	}
	p.insist(call, func() {
		p.start, p.changing = next, ""
		done()
	})
}

func (p *planner) takeDown(h host) {
	w := p.o.w
	p.changing = h
	p.insist(core.StartMaintenance{Machines: []*mesos.MachineID{machine(h)}}, func() {
		p.down[h], p.changing = true, ""
		w.after(w.upTo(2*time.Minute), func() {
			p.changing = h
			delete(p.down, h)
			delete(p.start, h)
			p.insist(core.StopMaintenance{Machines: []*mesos.MachineID{machine(h)}}, func() { p.busy, p.changing = false, "" })
		})
	})
}

// insist repeats a call. A refusal says that an earlier one, whose answer was lost, had its effect.
func (p *planner) insist(command core.OperatorCommand, done func()) {
	p.o.insist(command, func(int) { done() })
}

// check holds the leader to the schedule that was acknowledged (invariant 6), and to offers that tell
// of it (invariant 7).
func (p *planner) check(snapshot *core.Snapshot) error {
	if snapshot.ElectedAt.IsZero() {
		return nil
	}
	modes := map[string]mesos.MachineInfo_Mode{}
	for _, m := range snapshot.Maintenance.Machines {
		modes[registry.MachineKey(m.Id)] = m.GetMode()
	}
	for _, h := range slices.Sorted(maps.Keys(p.start)) {
		switch mode, known := modes[registry.MachineKey(machine(h))]; {
		case !known:
			return fmt.Errorf("invariant 6: machine %s was scheduled, and the leader does not know", h)
		case p.down[h] && mode != mesos.MachineInfo_DOWN:
			return fmt.Errorf("invariant 6: machine %s was taken down, and is %s", h, mode)
		}
	}
	for agent := range snapshot.Agents.All() {
		if p.down[host(agent.Info.GetHostname())] && agent.Active {
			return fmt.Errorf("invariant 7: agent %s is active on a machine that is down", agent.ID)
		}
	}
	for offer := range snapshot.Offers.All() {
		h := host(offer.Info.GetHostname())
		if start := p.start[h]; !start.IsZero() && p.changing != h && offer.Info.GetUnavailability().GetStart().GetNanoseconds() != start.UnixNano() {
			return fmt.Errorf("invariant 7: offer %s of %s does not tell when the machine goes", offer.Info.GetId().GetValue(), h)
		}
	}
	return nil
}

// inverseOffer answers a request to leave a machine, or does not.
func (f *frameworkNode) inverseOffer(offer *mesos.InverseOffer) {
	agent := offer.GetAgentId().GetValue()
	if other := f.asked[agent]; other != "" {
		f.w.fail("framework %s gets inverse offer %s of agent %s while %s is outstanding", f.host, offer.GetId().GetValue(), agent, other)
	}
	f.asked[agent] = offer.GetId().GetValue()
	if f.w.chance(0.2) {
		return
	}
	ids, filters := []*mesos.OfferID{offer.GetId()}, &mesos.Filters{RefuseSeconds: ptr(float64(f.w.between(0, 10)))}
	call := &scheduler.Call{Type: scheduler.Call_ACCEPT_INVERSE_OFFERS.Enum(),
		AcceptInverseOffers: &scheduler.Call_AcceptInverseOffers{InverseOfferIds: ids, Filters: filters}}
	if f.w.chance(0.5) {
		call = &scheduler.Call{Type: scheduler.Call_DECLINE_INVERSE_OFFERS.Enum(),
			DeclineInverseOffers: &scheduler.Call_DeclineInverseOffers{InverseOfferIds: ids, Filters: filters}}
	}
	f.later(f.w.upTo(5*time.Second), func() {
		if f.conn != nil && f.asked[agent] == offer.GetId().GetValue() {
			delete(f.asked, agent)
			f.call(call)
		}
	})
}

// inverseRescinded forgets an inverse offer; the answer may be on its way.
func (f *frameworkNode) inverseRescinded(id *mesos.OfferID) {
	for agent, asked := range f.asked {
		if asked == id.GetValue() {
			delete(f.asked, agent)
		}
	}
}
