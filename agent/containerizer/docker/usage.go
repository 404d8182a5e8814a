package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Usage implements containerizer.Containerizer. A command in another container has no figures of
// its own.
func (c *Containerizer) Usage(ctx context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	now := float64(time.Now().UnixNano()) / 1e9
	out := &mesos.ResourceStatistics{Timestamp: &now}
	if b.nested() {
		return out, nil
	}
	answer, err := c.engine.ContainerStats(ctx, name(id), client.ContainerStatsOptions{})
	if err != nil {
		return nil, fmt.Errorf("usage of container %s: %w", id, err)
	}
	defer answer.Body.Close()
	var said container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return nil, fmt.Errorf("usage of container %s: %w", id, err)
	}
	fill(out, said)
	found, err := c.engine.ContainerInspect(ctx, name(id), client.ContainerInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("usage of container %s: %w", id, err)
	}
	if shares := found.Container.HostConfig.CPUShares; shares > 0 {
		out.CpusSoftLimit = ptr(float64(shares) / containerizer.SharesPerCPU)
	}
	if quota := found.Container.HostConfig.CPUQuota; quota > 0 {
		out.CpusLimit = ptr(float64(quota) / containerizer.CPUPeriodMicros)
	}
	return out, nil
}

func ptr[T any](v T) *T { return &v }

// fill translates the Engine's figures. Their CPU times are nanoseconds on both cgroup versions.
// An answer without a time of reading is none: containerd has lost the group of the container.
func fill(out *mesos.ResourceStatistics, said container.StatsResponse) {
	if said.Read.IsZero() {
		return
	}
	cpu, memory := said.CPUStats, said.MemoryStats
	out.CpusUserTimeSecs = ptr(float64(cpu.CPUUsage.UsageInUsermode) / 1e9)
	out.CpusSystemTimeSecs = ptr(float64(cpu.CPUUsage.UsageInKernelmode) / 1e9)
	if cpu.ThrottlingData.Periods > 0 {
		out.CpusNrPeriods, out.CpusNrThrottled = ptr(uint32(cpu.ThrottlingData.Periods)), ptr(uint32(cpu.ThrottlingData.ThrottledPeriods))
		out.CpusThrottledTimeSecs = ptr(float64(cpu.ThrottlingData.ThrottledTime) / 1e9)
	}
	out.MemTotalBytes = ptr(memory.Usage)
	if memory.Limit > 0 {
		out.MemLimitBytes = ptr(memory.Limit)
	}
	for name, to := range map[string]**uint64{"rss": &out.MemRssBytes, "anon": &out.MemRssBytes, "cache": &out.MemCacheBytes, "file": &out.MemCacheBytes,
		"swap": &out.MemSwapBytes, "mapped_file": &out.MemMappedFileBytes, "file_mapped": &out.MemMappedFileBytes, "unevictable": &out.MemUnevictableBytes} {
		if value, ok := memory.Stats[name]; ok {
			*to = &value
		}
	}
	out.MemAnonBytes, out.MemFileBytes = out.MemRssBytes, out.MemCacheBytes
	if said.PidsStats.Current > 0 {
		out.Threads = ptr(uint32(said.PidsStats.Current))
	}
	if len(said.Networks) == 0 {
		return
	}
	var all container.NetworkStats
	for _, n := range said.Networks {
		all.RxPackets, all.RxBytes, all.RxErrors, all.RxDropped = all.RxPackets+n.RxPackets, all.RxBytes+n.RxBytes, all.RxErrors+n.RxErrors, all.RxDropped+n.RxDropped
		all.TxPackets, all.TxBytes, all.TxErrors, all.TxDropped = all.TxPackets+n.TxPackets, all.TxBytes+n.TxBytes, all.TxErrors+n.TxErrors, all.TxDropped+n.TxDropped
	}
	out.NetRxPackets, out.NetRxBytes, out.NetRxErrors, out.NetRxDropped = &all.RxPackets, &all.RxBytes, &all.RxErrors, &all.RxDropped
	out.NetTxPackets, out.NetTxBytes, out.NetTxErrors, out.NetTxDropped = &all.TxPackets, &all.TxBytes, &all.TxErrors, &all.TxDropped
}
