package assembly

import (
	"agora.dev/agora/agent"
	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/perf"
)

// isolation turns the agent's options into the containerizer's.
func isolation(config agent.Config) (linux.Isolation, error) {
	h, err := cgroups.Detect()
	if err != nil {
		return linux.Isolation{}, err
	}
	on, err := config.Isolators(h)
	if err != nil {
		return linux.Isolation{}, err
	}
	classes, err := config.NetClasses()
	if err != nil {
		return linux.Isolation{}, err
	}
	events, err := perf.Parse(config.PerfEvents)
	if err != nil {
		return linux.Isolation{}, err
	}
	policy, err := config.Capabilities()
	if err != nil {
		return linux.Isolation{}, err
	}
	devices, err := config.Devices()
	if err != nil {
		return linux.Isolation{}, err
	}
	rules, err := config.PortRules()
	if err != nil {
		return linux.Isolation{}, err
	}
	driver, gpus, err := config.GPUs()
	if err != nil {
		return linux.Isolation{}, err
	}
	projects, err := config.Projects()
	if err != nil {
		return linux.Isolation{}, err
	}
	roots, err := config.VolumeRoots()
	if err != nil {
		return linux.Isolation{}, err
	}
	gids, err := config.VolumeGIDs()
	if err != nil {
		return linux.Isolation{}, err
	}
	users, err := config.Users()
	if err != nil {
		return linux.Isolation{}, err
	}
	return linux.Isolation{
		Users: users, On: on, EnforceCPU: config.CgroupsEnableCFS, LimitSwap: config.CgroupsLimitSwap,
		RevocableCPULowPriority: config.RevocableCPULowPriority, CountProcesses: config.CountProcesses,
		Capabilities: policy, Seccomp: config.Seccomp(), Devices: devices,
		DisallowSharingPID: config.DisallowSharingPID, DisallowSharingIPC: config.DisallowSharingIPC, ShmSize: config.DefaultShmSize,
		Ports: linux.Ports{Rules: rules, Interval: config.ContainerPortsWatchInterval},
		GPUs:  gpu.Supply{Driver: driver, Pool: gpu.NewPool(gpus)},
		Disk: linux.Disk{WatchInterval: config.ContainerDiskWatchInterval, Enforce: config.EnforceDiskQuota,
			Projects: linux.Projects{IDs: projects, Work: config.WorkDir, Roots: roots, Kill: config.XFSKillContainers}},
		VolumeGIDs: linux.VolumeGIDs{IDs: gids, File: checkpoint.Paths{Work: config.WorkDir}.VolumeGIDs()},
		NetClasses: classes, Perf: linux.Perf{Events: events, Interval: config.PerfInterval, Duration: config.PerfDuration},
	}, nil
}
