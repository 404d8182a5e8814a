package validation

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
)

// Machines answers questions about the machines that are not UP.
type Machines struct {
	// Key is equal for two ids of one machine.
	Key func(*mesos.MachineID) string
	// Known holds them by Key.
	Known map[string]*mesos.MachineInfo
}

// Schedule checks a maintenance schedule that is to replace the present one.
func (m Machines) Schedule(schedule *maintenance.Schedule) error {
	scheduled := map[string]bool{}
	for _, window := range schedule.GetWindows() {
		if len(window.GetMachineIds()) == 0 {
			return invalid("List of machines in the maintenance window is empty")
		}
		if window.GetUnavailability().GetDuration().GetNanoseconds() < 0 {
			return invalid("Unavailability 'duration' is negative")
		}
		if err := m.each(window.GetMachineIds(), scheduled); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Known)) {
		if machine := m.Known[key]; machine.GetMode() == mesos.MachineInfo_DOWN && !scheduled[key] {
			return invalidf("Machine '%s' is deactivated and cannot be removed from the schedule", MachineText(machine.GetId()))
		}
	}
	return nil
}

// Start checks the machines of START_MAINTENANCE.
func (m Machines) Start(ids []*mesos.MachineID) error {
	return m.inMode(ids, mesos.MachineInfo_DRAINING, "down")
}

// Stop checks the machines of STOP_MAINTENANCE.
func (m Machines) Stop(ids []*mesos.MachineID) error {
	return m.inMode(ids, mesos.MachineInfo_DOWN, "up")
}

func (m Machines) inMode(ids []*mesos.MachineID, mode mesos.MachineInfo_Mode, brought string) error {
	if len(ids) == 0 {
		return invalid("List of machines is empty")
	}
	if err := m.each(ids, map[string]bool{}); err != nil {
		return err
	}
	for _, id := range ids {
		switch machine := m.Known[m.Key(id)]; {
		case machine == nil:
			return invalidf("Machine '%s' is not part of a maintenance schedule", MachineText(id))
		case machine.GetMode() != mode:
			return invalidf("Machine '%s' is not in %s mode and cannot be brought %s", MachineText(id), mode, brought)
		}
	}
	return nil
}

// each checks machines one by one, and that none of them comes twice.
func (m Machines) each(ids []*mesos.MachineID, seen map[string]bool) error {
	for _, id := range ids {
		switch {
		case id.GetHostname() == "" && id.GetIp() == "":
			return invalid("Both 'hostname' and 'ip' for a machine are empty")
		case id.GetIp() != "" && !isIP(id.GetIp()):
			return invalidf("Failed to parse the IP '%s'", id.GetIp())
		case seen[m.Key(id)]:
			return invalidf("Machine '%s' appears more than once in the schedule", MachineText(id))
		}
		seen[m.Key(id)] = true
	}
	return nil
}

// MachineText is a machine as refusals name it.
func MachineText(id *mesos.MachineID) string {
	text, err := codec.AppendJSON(nil, id)
	if err != nil {
		return id.GetHostname() + " " + id.GetIp()
	}
	return string(text)
}

// isIP looks at the form of an address; IPv6 only roughly, for it names a machine and is never dialled.
func isIP(text string) bool {
	if strings.Contains(text, ":") {
		return len(text) <= 45 && strings.Trim(text, "0123456789abcdefABCDEF:.") == ""
	}
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if n, err := strconv.ParseUint(part, 10, 8); err != nil || strconv.FormatUint(n, 10) != part {
			return false
		}
	}
	return len(parts) == 4
}
