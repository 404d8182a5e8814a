package cgroups

import (
	"errors"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SetLive is Set for a group whose processes run. It never makes the kernel kill. What cannot be
// lowered yet comes back, and keeps its old value: memory of which the group holds more, and on
// version 1 CPU time of which a group below has more, such as one that has just ended.
func (g Group) SetLive(r *specs.LinuxResources) (later *specs.LinuxResources, err error) {
	now := *r
	now.Memory = nil
	held := &specs.LinuxResources{}
	err = g.Set(&now)
	if errors.Is(err, syscall.EINVAL) && !g.V2 && r.CPU != nil && r.CPU.Quota != nil {
		cpu := *r.CPU
		cpu.Quota, cpu.Period, now.CPU = nil, nil, &cpu
		held.CPU = &specs.LinuxCPU{Quota: r.CPU.Quota, Period: r.CPU.Period}
		err = g.Set(&now)
	}
	if err != nil {
		return nil, err
	}
	if r.Memory != nil {
		lowered, err := g.setMemory(*r.Memory)
		if err != nil {
			return nil, err
		}
		if !lowered {
			held.Memory = r.Memory
		}
	}
	if held.CPU == nil && held.Memory == nil {
		return nil, nil
	}
	return held, nil
}

// setMemory reports false when the group holds more than the new limit.
func (g Group) setMemory(memory specs.LinuxMemory) (lowered bool, err error) {
	if g.V2 && memory.Limit != nil && *memory.Limit > 0 && !g.fits(uint64(*memory.Limit)) {
		memory.Limit, memory.Swap = nil, nil
		return false, g.Set(&specs.LinuxResources{Memory: &memory})
	}
	err = g.Set(&specs.LinuxResources{Memory: &memory})
	if errors.Is(err, syscall.EBUSY) {
		return false, nil // the soft limit was written before
	}
	return true, err
}

// fits reports whether a version 2 group holds no more than limit that the kernel could not
// give back at once: lowering memory.max further than that would kill. Clean pages of files
// are given back. Asking for that beforehand by memory.reclaim takes minutes where nothing
// can be reclaimed.
func (g Group) fits(limit uint64) bool {
	dir := g.Paths[""]
	stat := pairs(dir, "memory.stat")
	clean := stat["inactive_file"] + stat["active_file"]
	clean -= min(clean, stat["file_dirty"]+stat["file_writeback"])
	now := number(dir, "memory.current")
	return now-min(now, clean) <= limit
}
