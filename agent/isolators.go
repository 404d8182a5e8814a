package agent

import (
	"errors"
	"fmt"

	"agora.dev/agora/agent/isolators/capabilities"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/internal/flags"
)

// IsolatorOptions are the options of isolators, under the names of Mesos.
type IsolatorOptions struct {
	Isolation string
	// CgroupsRoot is the group below which an agent has its own.
	CgroupsRoot             string
	CgroupsEnableCFS        bool
	CgroupsLimitSwap        bool
	RevocableCPULowPriority bool
	CountProcesses          bool
	// EffectiveCapabilities and BoundingCapabilities are JSON of CapabilityInfo.
	EffectiveCapabilities string
	BoundingCapabilities  string
	SeccompConfigDir      string
	SeccompProfileName    string
	DisallowSharingPID    bool
	DisallowSharingIPC    bool
	DefaultShmSize        int64 // bytes
}

func defaultIsolators() IsolatorOptions {
	return IsolatorOptions{CgroupsRoot: "agora", RevocableCPULowPriority: true, CountProcesses: true}
}

func (c *Config) isolatorFlags(set *flags.Set) {
	set.String(&c.Isolation, "isolation", "isolators of resources, as cgroups/cpu,cgroups/mem; default: every cgroup controller that limits. "+
		"Namespaces, capabilities, seccomp and the device list always hold")
	set.String(&c.CgroupsRoot, "cgroups_root", "cgroup below which agents have theirs")
	set.Bool(&c.CgroupsEnableCFS, "cgroups_enable_cfs", "cap cpus at the request where a task has no limit")
	set.Bool(&c.CgroupsLimitSwap, "cgroups_limit_swap", "let memory limits hold for memory and swap together")
	set.Bool(&c.CountProcesses, "cgroups_cpu_enable_pids_and_tids_count", "count the processes and threads of containers in their statistics")
	set.Bool(&c.RevocableCPULowPriority, "revocable_cpu_low_priority", "give revocable cpus a hundredth of the weight")
	set.String(&c.EffectiveCapabilities, "effective_capabilities",
		`capabilities of tasks that ask for none, as {"capabilities":["NET_RAW"]}; default: Docker's, without MKNOD and NET_RAW, for root`)
	set.Alias("allowed_capabilities", "effective_capabilities")
	set.String(&c.BoundingCapabilities, "bounding_capabilities", "capabilities that tasks may have at most, in the same form; default: what they ask for")
	set.Path(&c.SeccompConfigDir, "seccomp_config_dir", "directory of filters of system calls, in Docker's format, that tasks may name")
	set.String(&c.SeccompProfileName, "seccomp_profile_name", "the filter of tasks that name none, a file of that directory; default: a built-in one")
	set.Bool(&c.DisallowSharingPID, "disallow_sharing_agent_pid_namespace", "refuse tasks that ask for the agent's pid namespace")
	set.Bool(&c.DisallowSharingIPC, "disallow_sharing_agent_ipc_namespace", "refuse tasks that ask for the agent's IPC namespace; each has a /dev/shm of its own")
	set.Bytes(&c.DefaultShmSize, "default_container_shm_size", "size of /dev/shm of containers that have their own and name none, as 128MB; default: 64MB with an image")
}

func (c *Config) checkIsolators() error {
	h, err := cgroups.Detect()
	if err != nil {
		return err
	}
	if _, err := isolation.Parse(c.Isolation, h); err != nil {
		return err
	}
	if c.CgroupsLimitSwap && !h.CountsSwap() {
		return fmt.Errorf("--cgroups_limit_swap: the kernel does not account for swap in its memory controller")
	}
	if c.DefaultShmSize < 0 {
		return errors.New("--default_container_shm_size must be positive")
	}
	policy, err := c.Capabilities()
	if err != nil {
		return err
	}
	return errors.Join(policy.Check(), c.Seccomp().Check())
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

// Seccomp are the filters that the options name.
func (c *Config) Seccomp() seccomp.Profiles {
	return seccomp.Profiles{Dir: c.SeccompConfigDir, Default: c.SeccompProfileName}
}
