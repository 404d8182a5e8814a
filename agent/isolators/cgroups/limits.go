package cgroups

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Set writes the limits that r names. Each is optional; a missing controller is an
// error, because a limit that is not kept must not look as if it were.
func (g Group) Set(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	settings := settingsV1(r)
	if g.V2 {
		settings = settingsV2(r)
	}
	for _, s := range settings {
		dir, ok := g.Paths[s.controller]
		if !ok {
			return fmt.Errorf("cgroup controller %s is not available", s.controller)
		}
		if err := write(dir, s.file, s.value); err != nil {
			if s.optional {
				continue
			}
			return err
		}
	}
	return nil
}

type setting struct {
	controller, file, value string
	optional                bool
}

func settingsV1(r *specs.LinuxResources) []setting {
	var out []setting
	add := func(controller, file, value string) {
		out = append(out, setting{controller: controller, file: file, value: value})
	}
	if m := r.Memory; m != nil {
		if m.Reservation != nil {
			add("memory", "memory.soft_limit_in_bytes", strconv.FormatInt(*m.Reservation, 10))
		}
		if m.Limit != nil {
			add("memory", "memory.limit_in_bytes", strconv.FormatInt(*m.Limit, 10))
		}
		if m.Swap != nil {
			out = append(out, setting{"memory", "memory.memsw.limit_in_bytes", strconv.FormatInt(*m.Swap, 10), true})
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil {
			add("cpu", "cpu.shares", strconv.FormatUint(*c.Shares, 10))
		}
		if c.Period != nil {
			add("cpu", "cpu.cfs_period_us", strconv.FormatUint(*c.Period, 10))
		}
		if c.Quota != nil {
			add("cpu", "cpu.cfs_quota_us", strconv.FormatInt(*c.Quota, 10))
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		add("pids", "pids.max", maxOr(*p.Limit))
	}
	for _, d := range r.Devices {
		file := "devices.deny"
		if d.Allow {
			file = "devices.allow"
		}
		add("devices", file, deviceRule(d))
	}
	return out
}

func settingsV2(r *specs.LinuxResources) []setting {
	var out []setting
	add := func(file, value string) { out = append(out, setting{file: file, value: value}) }
	if m := r.Memory; m != nil {
		if m.Reservation != nil {
			add("memory.low", strconv.FormatInt(*m.Reservation, 10))
		}
		if m.Limit != nil {
			add("memory.max", maxOr(*m.Limit))
			out = append(out, setting{file: "memory.oom.group", value: "1", optional: true})
		}
		if m.Swap != nil && m.Limit != nil {
			out = append(out, setting{file: "memory.swap.max", value: maxOr(*m.Swap - *m.Limit), optional: true})
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil {
			add("cpu.weight", strconv.FormatUint(Weight(*c.Shares), 10))
		}
		if c.Quota != nil {
			period := uint64(100000)
			if c.Period != nil {
				period = *c.Period
			}
			add("cpu.max", maxOr(*c.Quota)+" "+strconv.FormatUint(period, 10))
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		add("pids.max", maxOr(*p.Limit))
	}
	return out
}

// Weight turns v1 shares (1024 for one cpu) into a v2 weight (100 for one cpu).
func Weight(shares uint64) uint64 {
	return min(max(shares*100/1024, 1), 10000)
}

func maxOr(v int64) string {
	if v < 0 {
		return "max"
	}
	return strconv.FormatInt(v, 10)
}

func deviceRule(d specs.LinuxDeviceCgroup) string {
	kind, major, minor, access := d.Type, "*", "*", d.Access
	if kind == "" {
		kind = "a"
	}
	if d.Major != nil && *d.Major >= 0 {
		major = strconv.FormatInt(*d.Major, 10)
	}
	if d.Minor != nil && *d.Minor >= 0 {
		minor = strconv.FormatInt(*d.Minor, 10)
	}
	if access == "" {
		access = "rwm"
	}
	return kind + " " + major + ":" + minor + " " + access
}
