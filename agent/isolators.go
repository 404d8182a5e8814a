package agent

import (
	"fmt"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
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
	return nil
}
