package agent

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/command"
	"agora.dev/agora/executor/taskgroup"
)

// Executors are the built-in executors.
type Executors struct{}

// New makes an executor.
func (Executors) New(kind core.Kind, config executor.Config) executor.Core {
	if kind == core.TaskGroup {
		return taskgroup.New(config)
	}
	return command.New(config)
}

// Restore resumes an executor.
func (Executors) Restore(kind core.Kind, config executor.Config, state []byte) (executor.Core, error) {
	if kind == core.TaskGroup {
		return taskgroup.Restore(config, state)
	}
	return command.Restore(config, state)
}

// coreConfig turns options into the core's.
func (a *Agent) coreConfig() (core.Config, error) {
	c := &a.config
	info, err := a.info()
	if err != nil {
		return core.Config{}, err
	}
	environment := map[string]string{}
	if c.ExecutorEnvironmentVariables != "" {
		if err := json.Unmarshal([]byte(c.ExecutorEnvironmentVariables), &environment); err != nil {
			return core.Config{}, fmt.Errorf("--executor_environment_variables: %w", err)
		}
	}
	boot, err := bootTime()
	if err != nil {
		return core.Config{}, err
	}
	container, err := c.defaultContainer()
	if err != nil {
		return core.Config{}, err
	}
	features, err := c.features()
	if err != nil {
		return core.Config{}, err
	}
	for _, capability := range core.Capabilities(features) {
		a.capabilities = append(a.capabilities, capability.GetType().String())
	}
	ip, _ := c.advertised()
	out := core.Config{
		Info: info, Version: c.Version, Endpoint: a.Address(), IP: ip, AdvertisedIP: c.Told.AdvertiseIP, IP6: c.IP6, DefaultContainer: container, Features: features, Sandbox: a.paths.Sandbox, Volume: a.paths.Volume,
		Executors: Executors{}, NewUUID: func() [16]byte { return uuid.New() }, Random: rand.Float64,
		Boot: boot, Environment: environment, CustomEnvironment: c.executorTLS(), SandboxMount: c.SandboxDirectory, SwitchUser: c.SwitchUser,
		Reconfiguration: core.Policy(c.ReconfigurationPolicy),
		Timers: core.Timers{
			ExecutorRegistration: c.ExecutorRegistrationTimeout, ExecutorReregistration: c.ExecutorReregistrationTimeout,
			ExecutorShutdownGrace: c.ExecutorShutdownGracePeriod, RecoveryTimeout: c.RecoveryTimeout,
			RegistrationBackoff: c.RegistrationBackoffFactor,
		},
		Limits: core.Limits{CompletedExecutors: c.MaxCompletedExecutors},
	}
	if a.tokens != nil {
		out.Token = a.tokens.Sign
	}
	return out, nil
}

func (a *Agent) info() (*mesos.AgentInfo, error) {
	c := &a.config
	given, err := parseResources(c.Resources, c.DefaultRole)
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	all, err := detect(given, c.WorkDir)
	if err != nil {
		return nil, err
	}
	if all, err = c.withGPUs(all); err != nil {
		return nil, err
	}
	attributes, err := parseAttributes(c.Attributes)
	if err != nil {
		return nil, err
	}
	domain, err := parseDomain(c.Domain)
	if err != nil {
		return nil, err
	}
	_, told := c.advertised()
	port := int32(told)
	return &mesos.AgentInfo{Hostname: &c.Hostname, Port: &port, Resources: all, Attributes: attributes, Domain: domain,
		Checkpoint: proto.Bool(true)}, nil
}

// bootTime is when the machine was started, by the clock of today.
func bootTime() (time.Time, error) {
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	return time.Now().Add(-time.Duration(since.Nano())).Round(0), nil
}
