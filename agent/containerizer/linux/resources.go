package linux

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/ports"
	"agora.dev/agora/agent/launcher/native"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// sharesRevocable are the CPU shares of a revocable cpu. Mesos cgroups/cpu.
const (
	sharesRevocable = 10
	mib             = 1 << 20
)

// cgroup places the container: below the agent's path by itself, nested below its
// parent, or in its parent's group.
func (c *Containerizer) cgroup(b *box, oci *specs.Spec, spec containerizer.Spec) {
	parent, nested := spec.ID.Parent()
	path := filepath.Join(c.config.Cgroups, string(spec.ID))
	if nested {
		if p, err := c.find(parent); err == nil {
			path = filepath.Join(p.Cgroup, strings.TrimPrefix(string(spec.ID), string(parent)+"."))
			if b.Shares = spec.ShareCgroups; b.Shares {
				path = p.Cgroup
				oci.Annotations = map[string]string{native.Share: path}
			}
		}
	}
	b.Cgroup, oci.Linux.CgroupsPath = path, path
	given := oci.Linux.Resources
	oci.Linux.Resources = c.limits(&b.state, spec.Resources, spec.Limits)
	oci.Linux.Resources.Devices = append(given.Devices, c.config.Isolation.Devices.Rules()...)
	if oci.Root.Path != "/" {
		oci.Linux.Devices = c.config.Isolation.Devices.Nodes()
	}
	if oci.Process != nil && oci.Linux.Resources.Memory != nil {
		if limit, ok := spec.Limits["mem"]; ok && limit > b.MemMB {
			score := oomScore(b.MemMB)
			oci.Process.OOMScoreAdj = &score
		}
	}
}

// limits turns requests and ceilings into those of control groups.
func (c *Containerizer) limits(s *state, resources []*mesos.Resource, limits map[string]float64) *specs.LinuxResources {
	s.CPUs, s.MemMB, s.LimitCPUs = containerizer.Scalar(resources, "cpus"), containerizer.Scalar(resources, "mem"), 0
	s.Ports = ports.Of(resources)
	out := &specs.LinuxResources{}
	if s.CPUs > 0 && c.config.Isolation.On.Has(isolation.CPU) {
		out.CPU = c.cpu(s, resources, limits)
	}
	if s.MemMB > 0 && c.config.Isolation.On.Has(isolation.Memory) {
		out.Memory = c.memory(s, limits)
	}
	return out
}

func (c *Containerizer) cpu(s *state, resources []*mesos.Resource, limits map[string]float64) *specs.LinuxCPU {
	per := float64(containerizer.SharesPerCPU)
	if c.config.Isolation.RevocableCPULowPriority && revocable(resources, "cpus") {
		per = sharesRevocable
	}
	shares, length := uint64(max(s.CPUs*per, containerizer.MinShares)), uint64(containerizer.CPUPeriodMicros)
	out := &specs.LinuxCPU{Shares: &shares}
	limit, limited := limits["cpus"]
	if !limited && c.config.Isolation.EnforceCPU {
		limit, limited = s.CPUs, true
	}
	if limited {
		quota := int64(-1)
		if !math.IsInf(limit, 1) {
			quota, s.LimitCPUs = int64(max(limit*containerizer.CPUPeriodMicros, containerizer.MinCPUQuotaMicros)), limit
		}
		out.Quota, out.Period = &quota, &length
	}
	return out
}

func (c *Containerizer) memory(s *state, limits map[string]float64) *specs.LinuxMemory {
	soft := int64(max(s.MemMB, containerizer.MinMemMiB) * mib)
	hard := soft
	if limit, ok := limits["mem"]; ok {
		hard = -1
		if !math.IsInf(limit, 1) {
			hard = int64(max(limit, containerizer.MinMemMiB) * mib)
		}
	}
	out := &specs.LinuxMemory{Reservation: &soft, Limit: &hard}
	if c.config.Isolation.LimitSwap {
		both := hard
		out.Swap = &both
	}
	return out
}

// Update implements containerizer.Containerizer. A limit that cannot be lowered yet, because
// the container holds more, is lowered as soon as it can.
func (c *Containerizer) Update(_ context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	b, err := c.find(id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	err = b.Disk.keep(resources)
	next := b.state
	c.mu.Unlock()
	if err == nil {
		err = c.boundProjects(id)
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	group, ok := c.group(next)
	switch {
	case !ok && next.Debug:
		return nil
	case !ok:
		return next.save(c.dir(id))
	}
	wanted := c.limits(&next, resources, limits)
	later, err := group.SetLive(wanted)
	if err != nil && !group.Exists() {
		return nil // it has just ended
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	c.mu.Lock()
	next.GPUs = b.GPUs
	b.state, b.lower = next, later
	c.mu.Unlock()
	if err := next.save(c.dir(id)); err != nil {
		// The limits hold; the next agent would report the old ones.
		c.log.Warn("record of container not written", "container", id, "error", err)
	}
	return c.resizeGPUs(b, resources)
}

// lowerLater tries once more what Update could not do.
func (c *Containerizer) lowerLater(b *box) {
	c.mu.Lock()
	wanted, s := b.lower, b.state
	c.mu.Unlock()
	if wanted == nil {
		return
	}
	group, ok := c.group(s)
	if !ok {
		return
	}
	later, err := group.SetLive(wanted)
	if err != nil {
		c.log.Warn("limits not lowered", "container", b.id, "error", err)
		return
	}
	c.mu.Lock()
	if b.lower == wanted {
		b.lower = later
	}
	c.mu.Unlock()
}

// oomScore is 1000 less the share of the machine's memory that was asked for, so that
// containers over their request go first.
func oomScore(requestMB float64) int {
	var total float64
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		fmt.Sscanf(string(b), "MemTotal: %f", &total)
	}
	if total <= 0 {
		return 0
	}
	return int(min(max(1000-1000*requestMB*1024/total, 2), 999))
}

func revocable(resources []*mesos.Resource, name string) bool {
	for _, r := range resources {
		if r.GetName() == name && r.GetRevocable() != nil {
			return true
		}
	}
	return false
}
