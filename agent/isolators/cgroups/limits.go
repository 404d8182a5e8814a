package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Set writes the limits that r names, and the list of devices. Each is optional; a missing controller is an
// error, because a limit that is not kept must not look as if it were.
func (g Group) Set(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	settings := g.settings(r)
	for _, s := range settings {
		dir, ok := g.Paths[s.controller]
		if !ok {
			return fmt.Errorf("cgroup controller %s is not available", s.controller)
		}
		err := Write(dir, s.file, s.value)
		if err != nil && s.or != "" && errors.Is(err, os.ErrNotExist) {
			err = Write(dir, s.or, s.orValue)
		}
		if err != nil && !s.optional {
			return err
		}
	}
	if g.V2 && len(r.Devices) > 0 {
		return g.filters.Attach(g.Paths[""], r.Devices)
	}
	return nil
}

func (g Group) settings(r *specs.LinuxResources) []setting {
	if g.V2 {
		return settingsV2(r)
	}
	out := settingsV1(r)
	if m := r.Memory; m != nil && m.Limit != nil && m.Swap != nil && g.raises(*m.Swap) {
		// Memory and swap together may never be below memory alone.
		for i := range out {
			if out[i].file == "memory.memsw.limit_in_bytes" {
				s := out[i]
				out = append([]setting{s}, append(out[:i:i], out[i+1:]...)...)
				break
			}
		}
	}
	return out
}

// raises reports whether a limit on memory and swap is above the present one.
func (g Group) raises(limit int64) bool {
	return limit < 0 || uint64(limit) > number(g.Paths["memory"], "memory.memsw.limit_in_bytes")
}

// setting is one file to write; or is the file that takes its place on other kernels.
type setting struct {
	controller, file, value string
	optional                bool
	or, orValue             string
}

// list collects settings of one controller.
type list struct {
	controller string
	out        []setting
}

func (l *list) add(file, value string) {
	l.out = append(l.out, setting{controller: l.controller, file: file, value: value})
}

func number64(v int64) string { return strconv.FormatInt(v, 10) }

func settingsV1(r *specs.LinuxResources) []setting {
	memory, cpu, pids, devices := &list{controller: "memory"}, &list{controller: "cpu"}, &list{controller: "pids"}, &list{controller: "devices"}
	if m := r.Memory; m != nil {
		if m.Reservation != nil {
			memory.add("memory.soft_limit_in_bytes", number64(*m.Reservation))
		}
		if m.Limit != nil {
			memory.add("memory.limit_in_bytes", number64(*m.Limit))
		}
		if m.Swap != nil {
			memory.add("memory.memsw.limit_in_bytes", number64(*m.Swap))
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil {
			cpu.add("cpu.shares", strconv.FormatUint(*c.Shares, 10))
		}
		if c.Period != nil {
			cpu.add("cpu.cfs_period_us", strconv.FormatUint(*c.Period, 10))
		}
		if c.Quota != nil {
			cpu.add("cpu.cfs_quota_us", number64(*c.Quota))
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		pids.add("pids.max", maxOr(*p.Limit))
	}
	for _, d := range r.Devices {
		file := "devices.deny"
		if d.Allow {
			file = "devices.allow"
		}
		devices.add(file, deviceRule(d))
	}
	out := append(append(append(memory.out, cpu.out...), pids.out...), devices.out...)
	out = append(append(out, cpuset("cpuset", r.CPU)...), blockV1(r.BlockIO)...)
	for _, h := range r.HugepageLimits {
		out = append(out, setting{controller: "hugetlb", file: "hugetlb." + h.Pagesize + ".limit_in_bytes", value: strconv.FormatUint(h.Limit, 10)})
	}
	if r.Network != nil && r.Network.ClassID != nil {
		out = append(out, setting{controller: "net_cls", file: "net_cls.classid", value: strconv.FormatUint(uint64(*r.Network.ClassID), 10)})
	}
	return out
}

func settingsV2(r *specs.LinuxResources) []setting {
	l := &list{}
	if m := r.Memory; m != nil {
		if m.Reservation != nil {
			l.add("memory.low", number64(*m.Reservation))
		}
		if m.Limit != nil {
			l.add("memory.max", maxOr(*m.Limit))
			l.out = append(l.out, setting{file: "memory.oom.group", value: "1", optional: true})
		}
		if m.Swap != nil && m.Limit != nil {
			swap := *m.Swap
			if swap >= 0 {
				swap = max(swap-*m.Limit, 0)
			}
			// Without swap the file is missing, and there is nothing to limit.
			l.out = append(l.out, setting{file: "memory.swap.max", value: maxOr(swap), optional: true})
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil {
			l.add("cpu.weight", strconv.FormatUint(Weight(*c.Shares), 10))
		}
		if c.Quota != nil {
			period := uint64(100000)
			if c.Period != nil {
				period = *c.Period
			}
			l.add("cpu.max", maxOr(*c.Quota)+" "+strconv.FormatUint(period, 10))
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil {
		l.add("pids.max", maxOr(*p.Limit))
	}
	for _, h := range r.HugepageLimits {
		l.add("hugetlb."+h.Pagesize+".max", strconv.FormatUint(h.Limit, 10))
	}
	return append(append(l.out, cpuset("", r.CPU)...), blockV2(r.BlockIO)...)
}

// cpuset is the same on both versions.
func cpuset(controller string, c *specs.LinuxCPU) []setting {
	l := &list{controller: controller}
	if c != nil && c.Cpus != "" {
		l.add("cpuset.cpus", c.Cpus)
	}
	if c != nil && c.Mems != "" {
		l.add("cpuset.mems", c.Mems)
	}
	return l.out
}

// Weight turns v1 shares (1024 for one cpu) into a v2 weight (100 for one cpu).
func Weight(shares uint64) uint64 {
	return min(max(shares*100/1024, 1), 10000)
}

func maxOr(v int64) string {
	if v < 0 {
		return "max"
	}
	return number64(v)
}

func deviceRule(d specs.LinuxDeviceCgroup) string {
	kind, major, minor, access := d.Type, "*", "*", d.Access
	if kind == "" {
		kind = "a"
	}
	if d.Major != nil && *d.Major >= 0 {
		major = number64(*d.Major)
	}
	if d.Minor != nil && *d.Minor >= 0 {
		minor = number64(*d.Minor)
	}
	if access == "" {
		access = "rwm"
	}
	return kind + " " + major + ":" + minor + " " + access
}
