package cgroups

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Shares and weight of a group that hurries: nearly all of the processor, and a figure that no
// number of cpus gives.
const (
	hurriedShares = 262143
	hurriedWeight = 9999
)

// Hurry gives the group nearly all of the processor, until SetShares.
func (g Group) Hurry() error {
	if g.V2 {
		return Write(g.Paths[""], "cpu.weight", number64(hurriedWeight))
	}
	return Write(g.Paths["cpu"], "cpu.shares", number64(hurriedShares))
}

// Hurries says whether Hurry was the last to set the group's share.
func (g Group) Hurries() bool {
	if g.V2 {
		return number(g.Paths[""], "cpu.weight") == hurriedWeight
	}
	return number(g.Paths["cpu"], "cpu.shares") == hurriedShares
}

// SetShares gives the group its share of the processor, 1024 for one cpu.
func (g Group) SetShares(shares uint64) error {
	return g.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}})
}
