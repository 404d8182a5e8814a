package cgroups

import (
	"errors"
	"strconv"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SetLive is Set for a group whose processes run. It never makes the kernel kill:
// lowered is false when the group holds more than the new memory limit, even after
// reclaim, and the old one stays.
func (g Group) SetLive(r *specs.LinuxResources) (lowered bool, err error) {
	rest := *r
	rest.Memory = nil
	if err := g.Set(&rest); err != nil || r.Memory == nil {
		return true, err
	}
	memory := *r.Memory
	if g.V2 && memory.Limit != nil && *memory.Limit > 0 && !g.reclaim(uint64(*memory.Limit)) {
		memory.Limit, memory.Swap = nil, nil
		return false, g.Set(&specs.LinuxResources{Memory: &memory})
	}
	err = g.Set(&specs.LinuxResources{Memory: &memory})
	if errors.Is(err, syscall.EBUSY) {
		return false, nil // the soft limit was written before
	}
	return true, err
}

// reclaim brings a version 2 group below limit, and reports whether it is: lowering
// memory.max further than that would kill.
func (g Group) reclaim(limit uint64) bool {
	dir := g.Paths[""]
	if now := number(dir, "memory.current"); now > limit {
		// Fails when less than that could be reclaimed.
		_ = write(dir, "memory.reclaim", strconv.FormatUint(now-limit, 10))
	}
	return number(dir, "memory.current") <= limit
}
