package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"agora.dev/agora/agent/isolators/capabilities"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/devices"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/netcls"
	"agora.dev/agora/agent/isolators/perf"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/isolators/userns"
	"agora.dev/agora/internal/flags"
)

// IsolatorOptions are the options of isolators, under the names of Mesos.
type IsolatorOptions struct {
	PortOptions
	// NvidiaGPUDevices are indices of GPUs, as 0,1.
	NvidiaGPUDevices string
	// gpuRoot is where the driver is looked for: / but in tests.
	gpuRoot   string
	Isolation string
	// CgroupsRoot is the group below which an agent has its own.
	CgroupsRoot             string
	CgroupsEnableCFS        bool
	CgroupsLimitSwap        bool
	RevocableCPULowPriority bool
	CountProcesses          bool
	// NetClsPrimary and NetClsSecondaries are handles of network classes, as 0x0012 and
	// 0x0001,0x00ff.
	NetClsPrimary, NetClsSecondaries string
	// PerfEvents, separated by commas, are counted for PerfDuration out of each PerfInterval.
	PerfEvents                 string
	PerfInterval, PerfDuration time.Duration
	// EffectiveCapabilities and BoundingCapabilities are JSON of CapabilityInfo.
	EffectiveCapabilities string
	BoundingCapabilities  string
	// AllowedDevices is JSON of DeviceWhitelist.
	AllowedDevices string
	// UsernsRange are the machine's ids for user namespaces, as 1000000-67108863; Userns says
	// who has one: asked, default or always.
	UsernsRange, Userns string
	SeccompConfigDir    string
	SeccompProfileName  string
	DisallowSharingPID  bool
	DisallowSharingIPC  bool
	DefaultShmSize      int64 // bytes
	DiskOptions
}

func defaultIsolators() IsolatorOptions {
	return IsolatorOptions{CgroupsRoot: "agora", RevocableCPULowPriority: true, CountProcesses: true,
		PortOptions: defaultPorts(), gpuRoot: "/", Userns: string(userns.Asked), PerfInterval: time.Minute, PerfDuration: 10 * time.Second, DiskOptions: defaultDisk()}
}

func (c *Config) isolatorFlags(set *flags.Set) {
	set.String(&c.Isolation, "isolation", "isolators of resources, as cgroups/cpu,cgroups/mem; default: every cgroup controller that limits. "+
		"Namespaces, capabilities, seccomp and the device list always hold")
	set.String(&c.CgroupsRoot, "cgroups_root", "cgroup below which agents have theirs")
	set.Bool(&c.CgroupsEnableCFS, "cgroups_enable_cfs", "cap cpus at the request where a task has no limit")
	set.Bool(&c.CgroupsLimitSwap, "cgroups_limit_swap", "let memory limits hold for memory and swap together")
	set.Bool(&c.CountProcesses, "cgroups_cpu_enable_pids_and_tids_count", "count the processes and threads of containers in their statistics")
	set.String(&c.NetClsPrimary, "cgroups_net_cls_primary_handle", "primary handle of the network classes of containers, as 0x0012, for the isolator cgroups/net_cls; default: no classes")
	set.String(&c.NetClsSecondaries, "cgroups_net_cls_secondary_handles", "first and last secondary handle, as 0x0001,0x00ff; default: all of the primary one")
	set.String(&c.PerfEvents, "perf_events", "events that the isolator cgroups/perf_event counts, under perf's names, as cycles,cpu-clock,page-faults")
	set.Duration(&c.PerfInterval, "perf_interval", "how often the events of containers are counted")
	set.Duration(&c.PerfDuration, "perf_duration", "how long they are counted each time; at most the interval")
	set.Bool(&c.RevocableCPULowPriority, "revocable_cpu_low_priority", "give revocable cpus a hundredth of the weight")
	c.diskFlags(set)
	set.String(&c.EffectiveCapabilities, "effective_capabilities",
		`capabilities of tasks that ask for none, as {"capabilities":["NET_RAW"]}; default: Docker's, without MKNOD and NET_RAW, for root`)
	set.Alias("allowed_capabilities", "effective_capabilities")
	set.String(&c.BoundingCapabilities, "bounding_capabilities", "capabilities that tasks may have at most, in the same form; default: what they ask for")
	set.String(&c.AllowedDevices, "allowed_devices", "devices that every container can use beside null, zero, full, random, urandom, tty, console, ptmx, pts and tun, "+
		`as {"allowed_devices":[{"device":{"path":"/dev/fuse"},"access":{"read":true,"write":true}}]}`)
	set.String(&c.UsernsRange, "userns_range", "the machine's user and group ids for user namespaces of containers, 65536 each, as 1000000-67108863; "+
		"nobody else may use them; default: no user namespaces")
	set.String(&c.Userns, "userns", "which containers have a user namespace: asked, those with the label agora.userns=private; default, all but those with agora.userns=host; or always")
	c.portFlags(set)
	set.String(&c.NvidiaGPUDevices, "nvidia_gpu_devices", "GPUs that the isolator gpu/nvidia offers, as 0,1 in the order of nvidia-smi, with gpus:2 in --resources; default: all")
	set.Path(&c.SeccompConfigDir, "seccomp_config_dir", "directory of filters of system calls, in Docker's format, that tasks may name")
	set.String(&c.SeccompProfileName, "seccomp_profile_name", "the filter of tasks that name none, a file of that directory; default: a built-in one")
	set.Bool(&c.DisallowSharingPID, "disallow_sharing_agent_pid_namespace", "refuse tasks that ask for the agent's pid namespace")
	set.Bool(&c.DisallowSharingIPC, "disallow_sharing_agent_ipc_namespace", "refuse tasks that ask for the agent's IPC namespace; each has a /dev/shm of its own")
	set.Bytes(&c.DefaultShmSize, "default_container_shm_size", "size of /dev/shm of containers that have their own and name none, as 128MB; default: 64MB with an image")
}

func (c *Config) checkIsolators() error {
	if _, err := c.PortRules(); err != nil {
		return err
	}
	h, err := cgroups.Detect()
	if err != nil {
		return err
	}
	on, err := c.Isolators(h)
	if err != nil {
		return err
	}
	if _, err := c.NetClasses(); err != nil {
		return err
	}
	if err := c.checkPerf(on); err != nil {
		return err
	}
	if c.CgroupsLimitSwap && !h.CountsSwap() {
		return fmt.Errorf("--cgroups_limit_swap: the kernel does not account for swap in its memory controller")
	}
	if err := c.checkDisk(on); err != nil {
		return err
	}
	if c.DefaultShmSize < 0 {
		return errors.New("--default_container_shm_size must be positive")
	}
	if err := c.checkUsers(); err != nil {
		return err
	}
	policy, err := c.Capabilities()
	if err != nil {
		return err
	}
	if _, err := c.Devices(); err != nil {
		return err
	}
	if _, _, err := c.GPUs(); err != nil {
		return err
	}
	return errors.Join(policy.Check(), c.Seccomp().Check())
}

// Isolators reads the option about them. Without events to count, cgroups/all is without
// cgroups/perf_event.
func (o *IsolatorOptions) Isolators(h cgroups.Hierarchy) (isolation.Set, error) {
	on, err := isolation.Parse(o.Isolation, h)
	if err != nil {
		return nil, err
	}
	if strings.Trim(o.PerfEvents, ", ") == "" && on.Has(isolation.PerfEvent) {
		if strings.Contains(o.Isolation, isolation.PerfEvent) {
			return nil, fmt.Errorf("--isolation: %s needs events to count; name them in --perf_events, as cpu-clock,context-switches,page-faults", isolation.PerfEvent)
		}
		delete(on, isolation.PerfEvent)
	}
	return on, nil
}

func (o *IsolatorOptions) checkPerf(on isolation.Set) error {
	events, err := perf.Parse(o.PerfEvents)
	switch {
	case err != nil:
		return err
	case o.PerfInterval <= 0 || o.PerfDuration <= 0:
		return errors.New("--perf_interval and --perf_duration must be above 0")
	case o.PerfDuration > o.PerfInterval:
		return fmt.Errorf("--perf_duration: counting for %s out of each %s (--perf_interval) is not possible; make it shorter", o.PerfDuration, o.PerfInterval)
	case !on.Has(isolation.PerfEvent):
		return nil
	}
	return perf.Check(events)
}

// NetClasses reads the options about handles of network classes.
func (o *IsolatorOptions) NetClasses() (netcls.Handles, error) {
	return netcls.Parse(o.NetClsPrimary, o.NetClsSecondaries)
}

// Users reads the options about user namespaces.
func (o *IsolatorOptions) Users() (userns.Ranges, error) {
	return userns.Parse(o.UsernsRange, o.Userns)
}

func (c *Config) checkUsers() error {
	_, err := c.Users()
	return err
}

// Capabilities reads the options about capabilities.
func (c *Config) Capabilities() (policy capabilities.Policy, err error) {
	if policy.Effective, err = capabilities.Parse(c.EffectiveCapabilities); err != nil {
		return policy, fmt.Errorf("--effective_capabilities: %w", err)
	}
	if policy.Bounding, err = capabilities.Parse(c.BoundingCapabilities); err != nil {
		return policy, fmt.Errorf("--bounding_capabilities: %w", err)
	}
	return policy, nil
}

// Devices reads --allowed_devices.
func (c *Config) Devices() (devices.List, error) {
	list, err := devices.Parse(c.AllowedDevices)
	if err != nil {
		return nil, fmt.Errorf("--allowed_devices: %w", err)
	}
	return list, nil
}

// Seccomp are the filters that the options name.
func (c *Config) Seccomp() seccomp.Profiles {
	return seccomp.Profiles{Dir: c.SeccompConfigDir, Default: c.SeccompProfileName}
}
