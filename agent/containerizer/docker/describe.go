package docker

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// SandboxInContainer is where a container sees its sandbox, if the operator says nothing (Mesos flag --sandbox_directory).
const SandboxInContainer = "/mnt/mesos/sandbox"

const mib = 1 << 20

// maxLog bounds what the Engine keeps of a container's output, which is in the sandbox too.
const (
	maxLog   = "10m"
	logFiles = "2"
)

// description is a container on its way to the Engine.
type description struct {
	spec   containerizer.Spec
	rules  Rules
	config *container.Config
	host   *container.HostConfig
	nets   *network.EndpointSettings
	driver string // of volumes that name none
}

// describe turns a specification into the Engine's words. It touches nothing.
func describe(spec containerizer.Spec, agent string, rules Rules) (client.ContainerCreateOptions, error) {
	rules.Sandbox = cmp.Or(rules.Sandbox, SandboxInContainer)
	d := description{spec: spec, rules: rules, nets: &network.EndpointSettings{},
		config: &container.Config{Image: spec.Container.GetDocker().GetImage(), Hostname: spec.Hostname, User: spec.Command.GetUser(),
			Labels: map[string]string{labelAgent: agent, labelContainer: string(spec.ID)}, Tty: spec.Container.GetTtyInfo() != nil},
		host: &container.HostConfig{LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": maxLog, "max-file": logFiles}}}}
	if name := spec.Container.GetHostname(); name != "" {
		d.config.Hostname = name
	}
	if size := spec.Container.GetTtyInfo().GetWindowSize(); size != nil {
		d.host.ConsoleSize = [2]uint{uint(size.GetRows()), uint(size.GetColumns())}
	}
	d.host.Resources = resources(spec.Resources, spec.Limits, rules)
	d.host.CgroupParent = rules.CgroupParent
	for _, step := range []func() error{d.command, d.environment, d.networks, d.volumes, d.parameters, d.drivers} {
		if err := step(); err != nil {
			return client.ContainerCreateOptions{}, err
		}
	}
	out := client.ContainerCreateOptions{Name: name(spec.ID), Config: d.config, HostConfig: d.host}
	if mode := d.host.NetworkMode; mode.IsUserDefined() {
		out.NetworkingConfig = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{string(mode): d.nets}}
	}
	return out, nil
}

// command: a shell command replaces the image's entrypoint; else value and arguments follow it.
// Mesos docker.cpp, RunOptions.
func (d *description) command() error {
	docker, command := d.spec.Container.GetDocker(), d.spec.Command
	switch {
	case docker.GetImage() == "":
		return errors.New("container of type DOCKER: no image")
	case docker.GetPrivileged():
		d.host.Privileged = true
		if err := d.rules.dangerous("privileged mode"); err != nil {
			return err
		}
	}
	if command.GetShell() && command.Value != nil {
		d.config.Entrypoint, d.config.Cmd = []string{"/bin/sh"}, []string{"-c", command.GetValue()}
		return nil
	}
	if command.Value != nil {
		d.config.Cmd = append(d.config.Cmd, command.GetValue())
	}
	d.config.Cmd = append(d.config.Cmd, command.GetArguments()...)
	return nil
}

func (d *description) environment() error {
	vars := map[string]string{}
	for name, value := range d.spec.Env {
		vars[name] = value
	}
	vars["MESOS_SANDBOX"] = d.rules.Sandbox
	vars["MESOS_CONTAINER_NAME"] = name(d.spec.ID)
	for _, v := range d.spec.Command.GetEnvironment().GetVariables() {
		if v.GetType() == mesos.Environment_Variable_SECRET {
			return fmt.Errorf("environment variable %s: a Docker Engine writes down and shows what it is given; use a container of type MESOS for secrets", v.GetName())
		}
		vars[v.GetName()] = v.GetValue()
	}
	for name, value := range vars {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return fmt.Errorf("environment variable %q: not representable", name)
		}
		d.config.Env = append(d.config.Env, name+"="+value)
	}
	slices.Sort(d.config.Env)
	return nil
}

// networks: the mode, and ports of the task's resources that lead into the container.
func (d *description) networks() error {
	docker, infos := d.spec.Container.GetDocker(), named(d.spec.Container.GetNetworkInfos())
	mode := docker.GetNetwork()
	if docker.Network == nil && len(infos) > 0 {
		mode = mesos.ContainerInfo_DockerInfo_USER
	}
	switch {
	case mode == mesos.ContainerInfo_DockerInfo_USER && len(infos) == 1:
		d.host.NetworkMode = container.NetworkMode(infos[0].GetName())
		if !d.host.NetworkMode.IsUserDefined() {
			return fmt.Errorf("network %q: this is a mode, not a network; use DockerInfo.network", infos[0].GetName())
		}
	case mode == mesos.ContainerInfo_DockerInfo_USER:
		return fmt.Errorf("network mode USER needs one named network, not %d", len(infos))
	case len(infos) > 0:
		return fmt.Errorf("network %q: a named network needs network mode USER, not %s", infos[0].GetName(), mode)
	default:
		d.host.NetworkMode = container.NetworkMode(strings.ToLower(mode.String()))
	}
	if d.host.NetworkMode.IsHost() {
		d.config.Hostname = "" // the Engine takes the host's
	}
	mappings := docker.GetPortMappings()
	for _, info := range infos {
		for _, p := range info.GetPortMappings() {
			mappings = append(mappings, &mesos.ContainerInfo_DockerInfo_PortMapping{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: p.Protocol})
		}
	}
	if len(mappings) > 0 && (d.host.NetworkMode.IsHost() || d.host.NetworkMode.IsNone()) {
		return fmt.Errorf("port mappings need network mode BRIDGE or USER, not %s", mode)
	}
	return d.publish(mappings)
}

func (d *description) publish(mappings []*mesos.ContainerInfo_DockerInfo_PortMapping) error {
	d.config.ExposedPorts, d.host.PortBindings = network.PortSet{}, network.PortMap{}
	for _, p := range mappings {
		inside, outside := p.GetContainerPort(), p.GetHostPort()
		if inside == 0 || inside > math.MaxUint16 || outside == 0 || outside > math.MaxUint16 {
			return fmt.Errorf("port mapping %d to %d: ports are 1 to 65535", outside, inside)
		}
		if !containerizer.HasPort(d.spec.Resources, uint64(outside)) {
			return fmt.Errorf("port mapping: host port %d is not among the ports of the task's resources", outside)
		}
		protocol := p.GetProtocol()
		if protocol == "" {
			protocol = "tcp"
		}
		port, err := network.ParsePort(fmt.Sprintf("%d/%s", inside, protocol))
		if err != nil {
			return fmt.Errorf("port mapping %d to %d: %w", outside, inside, err)
		}
		d.config.ExposedPorts[port] = struct{}{}
		d.host.PortBindings[port] = append(d.host.PortBindings[port], network.PortBinding{HostPort: fmt.Sprint(outside)})
	}
	return nil
}

func named(infos []*mesos.NetworkInfo) (out []*mesos.NetworkInfo) {
	for _, n := range infos {
		if n.GetName() != "" {
			out = append(out, n)
		}
	}
	return out
}

// resources are requests and limits. The Engine ends what takes more memory than its limit, or
// without one its request.
func resources(list []*mesos.Resource, limits map[string]float64, rules Rules) (out container.Resources) {
	cpus, mem := containerizer.Scalar(list, "cpus"), containerizer.Scalar(list, "mem")
	if cpus > 0 {
		out.CPUShares = max(int64(cpus*containerizer.SharesPerCPU), containerizer.MinShares)
	}
	limit, limited := limits["cpus"]
	if !limited && rules.CFS {
		limit, limited = cpus, cpus > 0
	}
	if limited && !math.IsInf(limit, 1) {
		out.CPUPeriod, out.CPUQuota = containerizer.CPUPeriodMicros, max(int64(limit*containerizer.CPUPeriodMicros), containerizer.MinCPUQuotaMicros)
	}
	if mem <= 0 {
		return out
	}
	soft := int64(max(mem, containerizer.MinMemMiB)) * mib
	hard := soft
	if ceiling, ok := limits["mem"]; ok {
		hard = 0
		if !math.IsInf(ceiling, 1) {
			hard = int64(max(ceiling, containerizer.MinMemMiB)) * mib
		}
		out.MemoryReservation = soft
	}
	out.Memory, out.MemorySwap = hard, hard // no swap beyond
	return out
}
