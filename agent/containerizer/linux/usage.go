package linux

import (
	"context"
	"fmt"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/disk"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/perf"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Usage implements containerizer.Containerizer. A container in its parent's cgroups has
// none of its own: its figures are part of the parent's.
func (c *Containerizer) Usage(_ context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	now := float64(time.Now().UnixNano()) / 1e9
	out := &mesos.ResourceStatistics{Timestamp: &now}
	c.networkUsage(b, out)
	c.mu.Lock()
	s, watch, counted, onDisk := b.state, b.watch, b.perf, b.diskUsed
	c.mu.Unlock()
	if c.measures() {
		quotas := c.quotas(id)
		if c.projects != nil {
			onDisk = c.counted(id)
		}
		disk.Describe(out, quotas, onDisk)
	}
	group, ok := c.group(s)
	if !ok {
		if s.Shares && !s.Debug {
			requested(out, s)
		}
		return out, nil
	}
	u, err := group.Read()
	if err != nil {
		return nil, fmt.Errorf("usage of container %s: %w", id, err)
	}
	on := c.config.Isolation.On
	if on.Has(isolation.CPU) || on.Has(isolation.PosixCPU) {
		c.cpuUsage(out, s, u)
	}
	switch {
	case on.Has(isolation.Memory):
		c.memoryUsage(out, s, u)
	case on.Has(isolation.PosixMem):
		posixMemory(out, s, u)
	}
	if on.Has(isolation.Memory) {
		low, medium, critical := u.Pressure()
		if watch != nil && !group.V2 {
			low, medium, critical = watch.Pressure()
		}
		out.MemLowPressureCounter, out.MemMediumPressureCounter, out.MemCriticalPressureCounter = &low, &medium, &critical
	}
	if c.samples() {
		if out.Perf = counted; counted == nil {
			out.Perf = perf.Empty(time.Now())
		}
	}
	if on.Has(isolation.BlockIO) {
		out.BlkioStatistics = blockUsage(group)
	}
	return out, nil
}

// cpuUsage has the figures of Mesos's isolator, and with its options: counting processes, and periods, which there are
// when requests are caps.
func (c *Containerizer) cpuUsage(out *mesos.ResourceStatistics, s state, u cgroups.Usage) {
	user, system := u.User.Seconds(), u.System.Seconds()
	out.CpusUserTimeSecs, out.CpusSystemTimeSecs = &user, &system
	if c.config.Isolation.CountProcesses {
		processes, threads := uint32(u.Processes), uint32(u.Threads)
		out.Processes, out.Threads = &processes, &threads
	}
	if s.CPUs > 0 {
		out.CpusSoftLimit = &s.CPUs
	}
	if s.LimitCPUs > 0 {
		out.CpusLimit = &s.LimitCPUs
		if c.config.Isolation.EnforceCPU {
			periods, throttled, time := uint32(u.Periods), uint32(u.Throttled), u.ThrottledTime.Seconds()
			out.CpusNrPeriods, out.CpusNrThrottled, out.CpusThrottledTimeSecs = &periods, &throttled, &time
		}
	}
}

// requested is what a container in its parent's groups was given.
func requested(out *mesos.ResourceStatistics, s state) {
	if s.CPUs > 0 {
		out.CpusSoftLimit = &s.CPUs
	}
	if s.MemMB > 0 {
		limit := uint64(s.MemMB * mib)
		out.MemLimitBytes, out.MemSoftLimitBytes = &limit, &limit
	}
}

// posixMemory has the figures of a container whose memory nobody limits.
func posixMemory(out *mesos.ResourceStatistics, s state, u cgroups.Usage) {
	out.MemRssBytes = &u.RSS
	if s.MemMB > 0 {
		limit := uint64(s.MemMB * mib)
		out.MemLimitBytes, out.MemSoftLimitBytes = &limit, &limit
	}
}

func (c *Containerizer) memoryUsage(out *mesos.ResourceStatistics, s state, u cgroups.Usage) {
	out.MemTotalBytes, out.MemRssBytes, out.MemCacheBytes = &u.Memory, &u.RSS, &u.Cache
	out.MemAnonBytes, out.MemFileBytes, out.MemMappedFileBytes, out.MemSwapBytes = &u.RSS, &u.Cache, &u.MappedFile, &u.Swap
	out.MemUnevictableBytes, out.MemKmemUsageBytes, out.MemKmemTcpUsageBytes = &u.Unevictable, &u.Kernel, &u.KernelTCP
	if u.MemorySwap > 0 && c.config.Isolation.LimitSwap {
		out.MemTotalMemswBytes = &u.MemorySwap
	}
	if u.Limit > 0 {
		out.MemLimitBytes = &u.Limit
	}
	if s.MemMB > 0 {
		soft := u.SoftLimit
		if soft == 0 {
			soft = uint64(s.MemMB * mib)
		}
		out.MemSoftLimitBytes = &soft
	}
}

// Waits is the part of the last ten seconds in which some thread of a container waited for a CPU, in
// percent; negative where the kernel does not tell, or the container has no group of its own.
func (c *Containerizer) Waits(id containerizer.ID) float64 {
	if group, own := c.groupOf(id); own {
		if p, told := group.WaitsForCPU(); told {
			return p.Some
		}
	}
	return -1
}

// Peak is the most memory that a container has had, in bytes; 0 where the kernel does not tell, or the
// container has no group of its own.
func (c *Containerizer) Peak(id containerizer.ID) uint64 {
	group, own := c.groupOf(id)
	if !own {
		return 0
	}
	return group.Exhaustion().Peak
}

func (c *Containerizer) groupOf(id containerizer.ID) (cgroups.Group, bool) {
	b, err := c.find(id)
	if err != nil {
		return cgroups.Group{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group(b.state)
}
