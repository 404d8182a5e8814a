package core

import (
	"slices"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/registry"
	"agora.dev/agora/master/validation"
)

// machineDownAsked is why an agent on a machine that goes down has to end.
const machineDownAsked = "Operator initiated 'Machine DOWN'"

// The commands of maintenance answer 200, or 400 with what is wrong.
type (
	// UpdateSchedule replaces the maintenance schedule.
	UpdateSchedule struct{ Schedule *maintenance.Schedule }
	// StartMaintenance takes machines of the schedule down: their agents are shut down and may
	// not register.
	StartMaintenance struct{ Machines []*mesos.MachineID }
	// StopMaintenance takes machines that are down up again, and out of the schedule.
	StopMaintenance struct{ Machines []*mesos.MachineID }
)

func (UpdateSchedule) isOperatorCommand()   {}
func (StartMaintenance) isOperatorCommand() {}
func (StopMaintenance) isOperatorCommand()  {}

// Maintenance is what readers see of it.
type Maintenance struct {
	Schedule *maintenance.Schedule // nil for none
	Machines []*mesos.MachineInfo  // that are not UP, by name
}

// maintenanceTurns lets one change of maintenance wait for the write of the one before, on
// whose result its checks depend.
type maintenanceTurns struct {
	writing bool
	waiting []func()
}

func (c *Core) inTurn(do func()) {
	if c.turns.writing {
		c.turns.waiting = append(c.turns.waiting, do)
		return
	}
	do()
}

// keepMaintenance writes a change down; done runs when it is in force.
func (c *Core) keepMaintenance(op registry.SetMaintenance, done func()) {
	c.turns.writing = true
	c.persist(op, func() {
		c.turns.writing = false
		c.registry.Apply(op)
		c.publishMaintenance()
		done()
		for !c.turns.writing && len(c.turns.waiting) > 0 {
			next := c.turns.waiting[0]
			c.turns.waiting = c.turns.waiting[1:]
			next()
		}
	})
}

func (c *Core) publishMaintenance() {
	m := &Maintenance{Schedule: c.registry.Schedule}
	for _, key := range sortedKeys(c.registry.Machines) {
		m.Machines = append(m.Machines, c.registry.Machines[key])
	}
	c.pub.maintenance = m
}

func (c *Core) machines() validation.Machines {
	return validation.Machines{Key: registry.MachineKey, Known: c.registry.Machines}
}

// maintenanceCall carries out what an operator wants of maintenance.
func (c *Core) maintenanceCall(request RequestID, call OperatorCommand) {
	c.inTurn(func() {
		switch call := call.(type) {
		case UpdateSchedule:
			c.updateSchedule(request, call.Schedule)
		case StartMaintenance:
			c.startMaintenance(request, call.Machines)
		case StopMaintenance:
			c.stopMaintenance(request, call.Machines)
		}
	})
}

// updateSchedule puts the machines of a new schedule into mode DRAINING and those that it leaves
// out into UP; one that is DOWN stays so.
func (c *Core) updateSchedule(request RequestID, schedule *maintenance.Schedule) {
	if err := c.machines().Schedule(schedule); err != nil {
		c.answer(request, 400, err.Error())
		return
	}
	changed := map[string]*mesos.MachineInfo{}
	for key, machine := range c.registry.Machines {
		changed[key] = &mesos.MachineInfo{Id: machine.Id, Mode: mesos.MachineInfo_UP.Enum()}
	}
	for _, window := range schedule.GetWindows() {
		for _, id := range window.GetMachineIds() {
			key := registry.MachineKey(id)
			mode := mesos.MachineInfo_DRAINING
			if known := c.registry.Machines[key]; known != nil {
				mode = known.GetMode()
			}
			changed[key] = &mesos.MachineInfo{Id: id, Mode: &mode, Unavailability: window.Unavailability}
		}
	}
	if len(schedule.GetWindows()) == 0 {
		schedule = nil
	}
	op := registry.SetMaintenance{Schedule: schedule, Machines: changed}
	if err := registry.Check(op); err != nil {
		c.answer(request, 400, err.Error())
		return
	}
	c.keepMaintenance(op, func() {
		for _, id := range sortedKeys(c.agents) {
			c.setUnavailability(c.agents[id])
		}
		c.answer(request, 200, "")
		c.note(noteInfo, "maintenance scheduled", "machines", len(c.registry.Machines))
	})
}

func (c *Core) startMaintenance(request RequestID, ids []*mesos.MachineID) {
	if err := c.machines().Start(ids); err != nil {
		c.answer(request, 400, err.Error())
		return
	}
	changed := map[string]*mesos.MachineInfo{}
	for _, id := range ids {
		key := registry.MachineKey(id)
		known := c.registry.Machines[key]
		changed[key] = &mesos.MachineInfo{Id: known.Id, Mode: mesos.MachineInfo_DOWN.Enum(), Unavailability: known.Unavailability}
	}
	c.keepMaintenance(registry.SetMaintenance{Schedule: c.registry.Schedule, Machines: changed}, func() {
		for _, id := range sortedKeys(c.agents) {
			if a := c.agents[id]; changed[a.rec.Machine] != nil {
				c.reviewLater(a)
			}
		}
		c.answer(request, 200, "")
		c.note(noteInfo, "machines down", "machines", len(changed))
	})
}

// reviewMachine takes an agent off the books whose machine is down.
func (c *Core) reviewMachine(a *agent) {
	if c.registry.Machines[a.rec.Machine].GetMode() != mesos.MachineInfo_DOWN || c.moving[a.id] {
		return // or is on its way out already, and refused when it returns
	}
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_ShutdownAgent{
		ShutdownAgent: &link.ShutdownAgent{Message: ptr(machineDownAsked)}}})
	c.silence(a)
	c.endForMaintenance(a.id, func() {
		c.pub.counters.AgentRemovals++
		// Also a partition-aware framework reads LOST here, as from Mesos.
		c.loseAgent(a, fate{
			aware:   mesos.TaskState_TASK_LOST,
			reason:  mesos.TaskStatus_REASON_AGENT_REMOVED,
			message: "Agent " + a.rec.Info.GetHostname() + " removed: " + machineDownAsked,
		})
	})
}

// refuseDown shuts down an agent that returns to a machine that is down. One that this leader
// has only by name ends as well: so do its tasks.
func (c *Core) refuseDown(l *agentLink, id AgentID) {
	c.shutDownAgent(l, machineDown)
	if (c.recovered[id] == nil && c.lost[id] == nil) || c.moving[id] {
		return
	}
	c.endForMaintenance(id, func() {
		if c.dropLost(id) {
			c.flushNotice(id)
		}
		if c.dropRecovered(id) != nil {
			c.tellLost(id, false)
		}
	})
}

// endForMaintenance ends the life of an agent for every leader to come: it may be off while its
// machine is down, and its tasks, which were told to be lost, must not return with it.
func (c *Core) endForMaintenance(id AgentID, done func()) {
	c.moving[id], c.leaving[id] = true, true
	at := c.now
	var op registry.Op = registry.MarkGone{ID: string(id), At: at}
	if planted.Active("master-forget-down") {
		op = registry.Remove{ID: string(id)}
	}
	c.persist(op, func() {
		delete(c.moving, id)
		delete(c.leaving, id)
		c.forgetSettings(id)
		c.addGone(id, at)
		done()
		c.note(noteInfo, "agent removed", "agent", id, "reason", machineDownAsked)
	})
}

func (c *Core) stopMaintenance(request RequestID, ids []*mesos.MachineID) {
	if err := c.machines().Stop(ids); err != nil {
		c.answer(request, 400, err.Error())
		return
	}
	changed := map[string]*mesos.MachineInfo{}
	for _, id := range ids {
		changed[registry.MachineKey(id)] = &mesos.MachineInfo{Id: id, Mode: mesos.MachineInfo_UP.Enum()}
	}
	rest := &maintenance.Schedule{}
	for _, window := range c.registry.Schedule.GetWindows() {
		kept := slices.DeleteFunc(slices.Clone(window.GetMachineIds()), func(id *mesos.MachineID) bool {
			return changed[registry.MachineKey(id)] != nil
		})
		if len(kept) > 0 {
			rest.Windows = append(rest.Windows, &maintenance.Window{MachineIds: kept, Unavailability: window.Unavailability})
		}
	}
	if len(rest.Windows) == 0 {
		rest = nil
	}
	c.keepMaintenance(registry.SetMaintenance{Schedule: rest, Machines: changed}, func() {
		c.answer(request, 200, "")
		c.note(noteInfo, "machines up", "machines", len(changed))
	})
}

// scheduledMachine is the machine of an agent in the maintenance schedule; nil for none. Of one
// that is away only the hostname is known.
func (c *Core) scheduledMachine(id AgentID) *mesos.MachineInfo {
	var machine *mesos.MachineInfo
	if a := c.agents[id]; a != nil {
		machine = c.registry.Machines[a.rec.Machine]
	}
	if r := c.recovered[id]; r != nil {
		_, machine = c.machineOf(r.rec.Info.GetHostname(), "")
	}
	return machine
}

// machineOf finds the machine of an agent among those that are not UP. An id may leave out one of
// hostname and address.
func (c *Core) machineOf(hostname, ip string) (key string, machine *mesos.MachineInfo) {
	if len(c.registry.Machines) == 0 {
		return "", nil
	}
	for _, id := range []*mesos.MachineID{{Hostname: &hostname, Ip: &ip}, {Hostname: &hostname}, {Ip: &ip}} {
		key := registry.MachineKey(id)
		if machine := c.registry.Machines[key]; machine != nil {
			return key, machine
		}
	}
	return "", nil
}
