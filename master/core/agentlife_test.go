package core

import (
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
)

// parseDrain reads "drain AGENT [gone] [DURATION]".
func parseDrain(words []string) DrainAgent {
	call := DrainAgent{Agent: AgentID(words[1])}
	for _, word := range words[2:] {
		if d, err := time.ParseDuration(word); err == nil {
			call.MaxGracePeriod = &d
		}
		call.MarkGone = call.MarkGone || word == "gone"
	}
	return call
}

// parseMaintenance reads "schedule [MACHINE[,MACHINE]@START+DURATION]...", "down [MACHINE]..." and "up
// [MACHINE]..."; a machine is HOSTNAME/IP.
func parseMaintenance(words []string) OperatorCommand {
	switch words[0] {
	case "schedule":
		schedule := &maintenance.Schedule{}
		for _, word := range words[1:] {
			names, when, _ := strings.Cut(word, "@")
			start, length, _ := strings.Cut(when, "+")
			from, _ := time.ParseDuration(start)
			long, _ := time.ParseDuration(length)
			window := &maintenance.Window{Unavailability: &mesos.Unavailability{Start: timeInfo(testStart.Add(from)),
				Duration: &mesos.DurationInfo{Nanoseconds: ptr(int64(long))}}}
			if names != "" {
				window.MachineIds = parseMachines(strings.Split(names, ","))
			}
			schedule.Windows = append(schedule.Windows, window)
		}
		return UpdateSchedule{Schedule: schedule}
	case "down":
		return StartMaintenance{Machines: parseMachines(words[1:])}
	case "up":
		return StopMaintenance{Machines: parseMachines(words[1:])}
	}
	return nil
}

func parseMachines(names []string) []*mesos.MachineID {
	var ids []*mesos.MachineID
	for _, name := range names {
		hostname, ip, _ := strings.Cut(name, "/")
		id := &mesos.MachineID{}
		if hostname != "" {
			id.Hostname = &hostname
		}
		if ip != "" {
			id.Ip = &ip
		}
		ids = append(ids, id)
	}
	return ids
}

// parseLimits reads "removal=DURATION recovery=FRACTION count=NUMBER age=DURATION", for a core that begins anew.
func parseLimits(words []string) Config {
	cfg := testConfig()
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		d, _ := time.ParseDuration(value)
		f, _ := strconv.ParseFloat(value, 64)
		switch key {
		case "removal":
			cfg.AgentRemovalInterval = d
		case "recovery":
			cfg.RecoveryAgentRemovalLimit = &f
		case "count":
			cfg.RegistryMaxAgentCount = int(f)
		case "executors":
			cfg.MaxExecutorsPerAgent = int(f)
		case "domain":
			cfg.RequireAgentDomain = true
		case "age":
			cfg.RegistryMaxAgentAge = d
		}
	}
	return cfg
}
