package core

import (
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
)

// Config is what a core is born with.
type Config struct {
	// Info is the agent as configured, without its ID.
	Info *mesos.AgentInfo
	// Resources and volumes that only a first start uses come from Info.
	Version string
	// Endpoint is "ip:port", IP its first half.
	Endpoint string
	IP       string
	// AdvertisedIP is told to the master where others do not reach the agent at the address of its link; empty: they do.
	AdvertisedIP string
	// IP6 is told of containers on the host's network, beside IP; empty: none.
	IP6 string
	// DefaultContainer is that of executors which have none; nil: none.
	DefaultContainer *mesos.ContainerInfo
	// Features are the capabilities that the master is told; nil: all.
	Features map[mesos.AgentInfo_Capability_Type]bool
	// Sandbox is the directory of a container of a run (the run's own, or one
	// nested in it).
	Sandbox func(agent string, run Run, id containerizer.ID) string
	// Volume is the directory of a persistent volume; nil: there are none.
	Volume func(r *mesos.Resource) string
	// Executors makes the built-in executors.
	Executors Executors
	// NewUUID and Random are the only sources of chance; Random is in [0, 1).
	NewUUID func() [16]byte
	Random  func() float64
	// Token signs a custom executor's credential; nil: executors get none.
	Token func(key ExecutorKey, container containerizer.ID) string
	// Boot is the wall-clock time at which the machine was started.
	Boot time.Time
	// Environment is added to that of each executor (--executor_environment_variables).
	Environment map[string]string
	// CustomEnvironment is added to that of custom executors, where it has no such variable.
	CustomEnvironment map[string]string
	// SandboxMount is the sandbox's path in containers that have an image.
	SandboxMount string
	// SwitchUser runs containers as the task's or framework's user.
	SwitchUser bool
	// Reconfiguration says what may differ from what an earlier process wrote; empty is PolicyEqual.
	Reconfiguration Policy
	Timers          Timers
	Limits          Limits
}

// Executors makes cores of built-in executors of kind Command or TaskGroup.
type Executors interface {
	New(kind Kind, config executor.Config) executor.Core
	// Restore resumes from the last state that New's core, or Restore's, asked to
	// keep.
	Restore(kind Kind, config executor.Config, state []byte) (executor.Core, error)
}

// Timers are the periods of mesos.md §1.4 and §3. Zero means the default.
type Timers struct {
	ExecutorRegistration   time.Duration // 1 min
	ExecutorReregistration time.Duration // 2 s
	ExecutorShutdownGrace  time.Duration // 5 s
	RecoveryTimeout        time.Duration // 15 min
	RegistrationBackoff    time.Duration // 1 s, doubled up to 1 min
	PingTimeout            time.Duration // 75 s, unless the master names another
}

// Limits bound what is remembered of the past. Zero means the default.
type Limits struct {
	CompletedFrameworks int // 50
	CompletedExecutors  int // 150 per framework
	CompletedTasks      int // 200 per executor
	PastTasks           int // 100,000 of completed executors, in all; Mesos has no such bound
}

func (c Config) withDefaults() Config {
	orDuration(&c.Timers.ExecutorRegistration, time.Minute)
	orDuration(&c.Timers.ExecutorReregistration, 2*time.Second)
	orDuration(&c.Timers.ExecutorShutdownGrace, 5*time.Second)
	orDuration(&c.Timers.RecoveryTimeout, 15*time.Minute)
	orDuration(&c.Timers.RegistrationBackoff, time.Second)
	orDuration(&c.Timers.PingTimeout, 75*time.Second)
	orCount(&c.Limits.CompletedFrameworks, 50)
	orCount(&c.Limits.CompletedExecutors, 150)
	orCount(&c.Limits.CompletedTasks, 200)
	orCount(&c.Limits.PastTasks, 100_000)
	if c.SandboxMount == "" {
		c.SandboxMount = "/mnt/mesos/sandbox"
	}
	return c
}

func orDuration(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

func orCount(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}
