package linux

import (
	"time"

	"agora.dev/agora/agent/isolators/capabilities"
	"agora.dev/agora/agent/isolators/devices"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/netcls"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/isolators/userns"
)

// Isolation are the options of the isolators.
type Isolation struct {
	// On are the isolators that work; nil stands for those of an empty --isolation.
	On isolation.Set
	// EnforceCPU caps a container at its cpu request when it has no limit
	// (Mesos --cgroups_enable_cfs).
	EnforceCPU bool
	// LimitSwap makes the memory limit hold for memory and swap together
	// (Mesos --cgroups_limit_swap).
	LimitSwap bool
	// RevocableCPULowPriority gives revocable cpus a hundredth of the shares
	// (Mesos --revocable_cpu_low_priority).
	RevocableCPULowPriority bool
	// CountProcesses tells how many processes and threads a container has
	// (Mesos --cgroups_cpu_enable_pids_and_tids_count).
	CountProcesses bool
	// WatchInterval is how often memory limits that could not be lowered at once are tried
	// again; 0 means 15 s.
	WatchInterval time.Duration
	// DisallowSharingPID and DisallowSharingIPC refuse containers that ask for a namespace
	// of the agent (Mesos --disallow_sharing_agent_pid_namespace and its like).
	DisallowSharingPID, DisallowSharingIPC bool
	// ShmSize bounds a container's own /dev/shm, in bytes, unless the container names a
	// size; 0 stands for 64 MiB with an image, and for half the memory of the machine else.
	ShmSize int64
	// Capabilities are what the operator says about them; without a default set, that of
	// the template.
	Capabilities capabilities.Policy
	// Seccomp are the filters of system calls.
	Seccomp seccomp.Profiles
	// NetClasses are the handles that containers get (Mesos --cgroups_net_cls_primary_handle).
	NetClasses netcls.Handles
	// Perf says which events are counted.
	Perf Perf
	// Ports say what containers may listen on.
	Ports Ports
	// GPUs are what the isolator gpu/nvidia gives out.
	GPUs gpu.Supply
	// Devices are what every container can use beside the harmless ones (Mesos
	// --allowed_devices).
	Devices devices.List
	// Users are the ids of containers with a user namespace (--userns_range, --userns).
	Users userns.Ranges
	// Disk says how disk usage is looked at.
	Disk Disk
	// VolumeGIDs are the groups of shared volumes.
	VolumeGIDs VolumeGIDs
}

// patrol looks at all containers now and then, until the containerizer is closed.
func (c *Containerizer) patrol() {
	tick := time.NewTicker(c.config.Isolation.WatchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
		for _, b := range c.running() {
			c.lowerLater(b)
		}
		c.freeGroups()
	}
}

// running are the containers that have been launched and have not ended.
func (c *Containerizer) running() (out []*box) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.boxes {
		select {
		case <-b.ready:
		default:
			continue
		}
		if !b.closed {
			out = append(out, b)
		}
	}
	return out
}
