package marathon

import (
	"fmt"
	"slices"
	"strings"
)

// Modes of a network.
const (
	HostNetwork      = "host"
	BridgeNetwork    = "container/bridge"
	ContainerNetwork = "container"
)

// OnHost reports whether instances share the network of their agent.
func (a *App) OnHost() bool { return len(a.Networks) == 0 || a.Networks[0].Mode == HostNetwork }

// PortMappings are those of the container; none on the host's network.
func (a *App) PortMappings() []PortMapping {
	if a.OnHost() || a.Container == nil {
		return nil
	}
	return a.Container.PortMappings
}

// HostPorts are the ports of the agent that each instance needs, 0 for any, in the order
// in which an instance's ports are listed.
func (a *App) HostPorts() []int {
	var out []int
	if a.OnHost() {
		for _, p := range a.PortDefinitions {
			if a.RequirePorts {
				out = append(out, p.Port)
			} else {
				out = append(out, 0)
			}
		}
		return out
	}
	for _, m := range a.PortMappings() {
		if m.HostPort != nil {
			out = append(out, *m.HostPort)
		}
	}
	return out
}

// ServicePorts point to the service ports, in the order of definitions or mappings.
func (a *App) ServicePorts() []*int {
	var out []*int
	if a.OnHost() {
		for i := range a.PortDefinitions {
			out = append(out, &a.PortDefinitions[i].Port)
		}
		return out
	}
	mappings := a.PortMappings()
	for i := range mappings {
		out = append(out, &mappings[i].ServicePort)
	}
	return out
}

// On reports whether the mapping is for a network of the app.
func (m *PortMapping) On(network string) bool {
	return len(m.NetworkNames) == 0 || slices.Contains(m.NetworkNames, network)
}

// normalizeMappings fills the mappings of an app that is not on the host's network.
func (a *App) normalizeMappings() {
	if a.Container == nil {
		a.Container = &Container{Type: "MESOS", Volumes: []Volume{}}
	}
	c := a.Container
	if c.PortMappings == nil {
		c.PortMappings = []PortMapping{{Name: "default"}}
	}
	for i := range c.PortMappings {
		m := &c.PortMappings[i]
		if m.HostPort == nil && a.Networks[0].Mode == BridgeNetwork {
			m.HostPort = new(int)
		}
		if m.Protocol == "" {
			m.Protocol = "tcp"
		}
	}
	if len(a.PortDefinitions) == 0 {
		a.PortDefinitions = nil
	}
	a.Ports = nil
}

func (a *App) validateNetworks(d details) {
	names := map[string]bool{}
	for i, n := range a.Networks {
		path := fmt.Sprintf("/networks(%d)", i)
		switch n.Mode {
		case HostNetwork, BridgeNetwork:
			if len(a.Networks) > 1 {
				d.add("/networks", "may be one host network, one bridge network, or container networks")
			}
			if n.Name != "" {
				d.add(path+"/name", "must be empty")
			}
			if n.Mode == HostNetwork && len(n.Labels) > 0 {
				d.add(path+"/labels", "must be empty")
			}
		case ContainerNetwork:
			if n.Name == "" {
				d.add(path+"/name", "must not be empty")
			} else if names[n.Name] {
				d.add("/networks", "Network names must be unique.")
			}
			names[n.Name] = true
		default:
			d.add(path+"/mode", "error.unknown.enum.literal: got %q, expected host, container/bridge or container", n.Mode)
		}
	}
	if len(names) > 1 && a.Container != nil && a.Container.Type == "DOCKER" {
		d.add("/networks", "a container of type DOCKER may join one container network")
	}
	if a.OnHost() {
		a.validateDefinitions(d)
		if a.Container != nil && len(a.Container.PortMappings) > 0 {
			d.add("/container/portMappings", "need a bridge or container network")
		}
		return
	}
	if len(a.PortDefinitions) > 0 {
		d.add("/portDefinitions", "need the host network; a container has portMappings")
	}
	if a.RequirePorts {
		d.add("/requirePorts", "needs the host network; a port mapping has a hostPort")
	}
	a.validateMappings(d, names)
}

func (a *App) validateMappings(d details, networks map[string]bool) {
	names, taken := map[string]bool{}, map[string]bool{}
	for i, m := range a.PortMappings() {
		path := fmt.Sprintf("/container/portMappings(%d)", i)
		if m.Protocol != "tcp" && m.Protocol != "udp" && m.Protocol != "udp,tcp" {
			d.add(path+"/protocol", "error.unknown.enum.literal: got %q, expected tcp, udp or udp,tcp", m.Protocol)
		}
		for field, port := range map[string]int{"containerPort": m.ContainerPort, "servicePort": m.ServicePort, "hostPort": value(m.HostPort)} {
			if port < 0 || port > 65535 {
				d.add(path+"/"+field, "got %d, expected 0 to 65535", port)
			}
		}
		if m.Name != "" && names[m.Name] {
			d.add("/container/portMappings", "Port names must be unique.")
		}
		names[m.Name] = true
		for _, protocol := range strings.Split(m.Protocol, ",") {
			key := fmt.Sprint(value(m.HostPort), protocol)
			if value(m.HostPort) != 0 && taken[key] {
				d.add("/container/portMappings", "Host ports must be unique.")
			}
			taken[key] = true
		}
		for _, name := range m.NetworkNames {
			if !networks[name] {
				d.add(path+"/networkNames", "network %q is not one of the app's", name)
			}
		}
		if len(networks) > 1 && m.HostPort != nil && len(m.NetworkNames) != 1 {
			d.add(path+"/networkNames", "a host port leads to one network: name it")
		}
	}
}

func value(port *int) int {
	if port == nil {
		return 0
	}
	return *port
}
