package cgroups

import (
	"errors"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SetLive is Set for a group whose processes run. It never makes the kernel kill:
// lowered is false when the group holds more than the new memory limit, and the old one
// stays.
func (g Group) SetLive(r *specs.LinuxResources) (lowered bool, err error) {
	rest := *r
	rest.Memory = nil
	if err := g.Set(&rest); err != nil || r.Memory == nil {
		return true, err
	}
	memory := *r.Memory
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
