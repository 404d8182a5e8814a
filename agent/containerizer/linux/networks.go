package linux

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/cni/bridge"
	"agora.dev/agora/agent/launcher"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// networks tells which networks a container asks for; own is false when it stays in its
// parent's, or the host's.
func networks(spec containerizer.Spec) (infos []*mesos.NetworkInfo, own bool, err error) {
	if infos, own, err = asked(spec.Container); err != nil {
		return nil, false, err
	}
	seen := map[string]bool{}
	for _, n := range infos {
		if seen[n.GetName()] {
			return nil, false, fmt.Errorf("network %q is asked for twice", n.GetName())
		}
		seen[n.GetName()] = true
		for _, p := range n.GetPortMappings() {
			if !containerizer.HasPort(spec.Resources, uint64(p.GetHostPort())) {
				return nil, false, fmt.Errorf("port mapping: host port %d is not among the ports of the task's resources", p.GetHostPort())
			}
		}
	}
	return infos, own, nil
}

// asked reads the two ways in which a ContainerInfo names networks.
func asked(info *mesos.ContainerInfo) (infos []*mesos.NetworkInfo, own bool, err error) {
	for _, n := range info.GetNetworkInfos() {
		if n.GetName() != "" {
			infos = append(infos, n)
		} else if len(n.GetPortMappings()) > 0 {
			return nil, false, errors.New("port mappings need a named network, such as " + bridge.Network)
		}
	}
	docker := info.GetDocker()
	if info.GetType() != mesos.ContainerInfo_DOCKER || docker == nil {
		return infos, len(infos) > 0, nil
	}
	var ports []*mesos.NetworkInfo_PortMapping
	for _, p := range docker.GetPortMappings() {
		ports = append(ports, &mesos.NetworkInfo_PortMapping{HostPort: p.HostPort, ContainerPort: p.ContainerPort, Protocol: p.Protocol})
	}
	mode := docker.GetNetwork()
	switch {
	case mode == mesos.ContainerInfo_DockerInfo_USER && len(infos) == 1:
		user := &mesos.NetworkInfo{Name: infos[0].Name, Groups: infos[0].Groups, Labels: infos[0].Labels, PortMappings: append(ports, infos[0].PortMappings...)}
		return []*mesos.NetworkInfo{user}, true, nil
	case mode == mesos.ContainerInfo_DockerInfo_USER:
		return nil, false, fmt.Errorf("network mode USER needs one named network, not %d", len(infos))
	case len(infos) > 0:
		return nil, false, fmt.Errorf("network %q: a named network needs network mode USER, not %s", infos[0].GetName(), mode)
	case mode == mesos.ContainerInfo_DockerInfo_BRIDGE:
		name := bridge.Network
		return []*mesos.NetworkInfo{{Name: &name, PortMappings: ports}}, true, nil
	case len(ports) > 0:
		return nil, false, fmt.Errorf("port mappings need network mode BRIDGE or USER, not %s", mode)
	}
	return nil, mode == mesos.ContainerInfo_DockerInfo_NONE, nil
}

// attach puts the container into networks of its own if it asks for some; nil else.
func (c *Containerizer) attach(ctx context.Context, spec containerizer.Spec) (*cni.Attached, error) {
	infos, own, err := networks(spec)
	if err != nil || !own {
		return nil, err
	}
	if c.config.Networks == nil {
		return nil, errors.New("this agent has no networks of containers")
	}
	name, err := ownHostname(spec)
	if err != nil {
		return nil, err
	}
	return c.config.Networks.Attach(ctx, cni.Request{Container: string(spec.ID), Hostname: name, Networks: infos})
}

var validHostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)

// ownHostname is what was asked for, else the container's id.
func ownHostname(spec containerizer.Spec) (string, error) {
	name := spec.Hostname
	if asked := spec.Container.GetHostname(); asked != "" {
		name = asked
	}
	if name == "" {
		value := spec.ID.Proto().GetValue()
		return value[:min(len(value), 63)], nil
	}
	if !validHostname.MatchString(name) {
		return "", fmt.Errorf("host name %q: must be up to 63 letters, digits, '-' and '.'", name)
	}
	return name, nil
}

// detach takes down the networks of a container that has ended. What cannot be taken
// down now is tried again later and does not hold up the news of its end.
func (c *Containerizer) detach(id containerizer.ID) {
	if c.config.Networks == nil {
		return
	}
	if err := c.config.Networks.Detach(context.Background(), string(id)); err != nil {
		c.log.Error("container not detached from its networks", "container", id, "error", err)
	}
}

// recoverNetworks keeps the networks of the containers that are adopted.
func (c *Containerizer) recoverNetworks(adopted []launcher.Container) error {
	if c.config.Networks == nil {
		return nil
	}
	var live []string
	for _, f := range adopted {
		live = append(live, f.ID)
	}
	return c.config.Networks.Recover(live)
}

// networkInfos are what a status says of the container's networks; none on the host's.
func (c *Containerizer) networkInfos(id containerizer.ID) []*mesos.NetworkInfo {
	if found := c.networkOf(id); found != nil {
		return found.Infos
	}
	return nil
}

// networkOf finds where a container is: in networks of its own or of an ancestor; nil on
// the host's.
func (c *Containerizer) networkOf(id containerizer.ID) *cni.Attached {
	for nested := c.config.Networks != nil; nested; id, nested = id.Parent() {
		if found := c.config.Networks.Find(string(id)); found != nil {
			return found
		}
	}
	return nil
}

// join has the container started in its network namespace, with the files and variables
// that belong to it.
func (c *Containerizer) join(oci *specs.Spec, spec *containerizer.Spec) {
	network := c.networkOf(spec.ID)
	if network == nil {
		return
	}
	if c.config.Networks.Find(string(spec.ID)) != nil {
		oci.Hostname = network.Hostname
	}
	spec.Env = networkVariables(spec.Env, network)
	oci.Linux.Namespaces = append(oci.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: network.Namespace})
	for _, file := range slices.Sorted(maps.Keys(network.Files)) {
		if oci.Root.Path == "/" && !exists(file) {
			continue // a mount point would have to be made on the host
		}
		oci.Mounts = append(oci.Mounts, specs.Mount{Destination: file, Source: network.Files[file], Type: "bind",
			Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// networkVariables are what Mesos tells a process about its network.
func networkVariables(env map[string]string, network *cni.Attached) map[string]string {
	out := maps.Clone(env)
	if _, told := out["LIBPROCESS_IP"]; told {
		out["LIBPROCESS_IP"] = "0.0.0.0" // the agent's address is not one of the container's
	}
	if _, told := out["MESOS_CONTAINER_IP"]; told {
		for _, info := range network.Infos {
			for _, address := range info.GetIpAddresses() {
				out["MESOS_CONTAINER_IP"] = address.GetIpAddress()
				return out
			}
		}
	}
	return out
}

// networkUsage adds what the container's own network tells.
func (c *Containerizer) networkUsage(b *box, out *mesos.ResourceStatistics) {
	if c.config.Networks != nil {
		c.config.Networks.Usage(string(b.id), b.pid, out)
	}
}
