package taskinfo

import (
	"strconv"
	"strings"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/instance"
	"google.golang.org/protobuf/proto"
)

// endpoint is a port of an instance, on the agent or in its container.
type endpoint struct {
	name, protocol string
	labels         map[string]string
	requested      int // as the app names it; 0 when it does not
	host           int // 0: none
	container      int // 0: on the host's network, or none
	on             func(network string) bool
}

// number is the port under which it is reached, best from outside.
func (e endpoint) number() int {
	if e.host != 0 {
		return e.host
	}
	return e.container
}

// endpoints pairs definitions or mappings with the ports that the instance was given.
func endpoints(app *marathon.App, i *instance.Instance) (out []endpoint) {
	ports := i.Ports
	next := func() (port int) {
		if len(ports) > 0 {
			port, ports = ports[0], ports[1:]
		}
		return port
	}
	if app.OnHost() {
		for _, p := range app.PortDefinitions {
			out = append(out, endpoint{name: p.Name, protocol: p.Protocol, labels: p.Labels, requested: p.Port, host: next()})
		}
		return out
	}
	for _, m := range app.PortMappings() {
		e := endpoint{name: m.Name, protocol: m.Protocol, labels: m.Labels, requested: m.ContainerPort, container: m.ContainerPort, on: m.On}
		if m.HostPort != nil {
			e.host = next()
		}
		if e.container == 0 {
			e.container = e.host // the same number on both sides
		}
		out = append(out, e)
	}
	return out
}

// networkInfos attach the container to the app's networks; none on the host's.
func networkInfos(app *marathon.App, i *instance.Instance, bridge string) (out []*mesos.NetworkInfo) {
	if app.OnHost() {
		return nil
	}
	all := endpoints(app, i)
	for _, n := range app.Networks {
		name := networkName(n, bridge)
		info := &mesos.NetworkInfo{Name: proto.String(name), Labels: labels(n.Labels)}
		for _, e := range all {
			if e.host == 0 || !e.on(n.Name) {
				continue
			}
			for protocol := range strings.SplitSeq(e.protocol, ",") {
				info.PortMappings = append(info.PortMappings, &mesos.NetworkInfo_PortMapping{Protocol: proto.String(protocol),
					HostPort: proto.Uint32(uint32(e.host)), ContainerPort: proto.Uint32(uint32(e.container))})
			}
		}
		out = append(out, info)
	}
	return out
}

func networkName(n marathon.Network, bridge string) string {
	if n.Mode == marathon.BridgeNetwork {
		return bridge
	}
	return n.Name
}

// discovery has one entry for each port and protocol: of the agent where there is one,
// else of the container in each network.
func discovery(app *marathon.App, i *instance.Instance, bridge string) *mesos.DiscoveryInfo {
	d := &mesos.DiscoveryInfo{Visibility: mesos.DiscoveryInfo_FRAMEWORK.Enum(), Name: proto.String(Name(app.ID)), Ports: &mesos.Ports{}}
	for _, e := range endpoints(app, i) {
		for protocol := range strings.SplitSeq(e.protocol, ",") {
			if e.host != 0 || app.OnHost() {
				d.Ports.Ports = append(d.Ports.Ports, e.port(protocol, e.host, map[string]string{"network-scope": "host"}))
				continue
			}
			for _, n := range app.Networks {
				if e.container != 0 && e.on(n.Name) {
					scope := map[string]string{"network-scope": "container", "network-name": networkName(n, bridge)}
					d.Ports.Ports = append(d.Ports.Ports, e.port(protocol, e.container, scope))
				}
			}
		}
	}
	return d
}

func (e endpoint) port(protocol string, number int, scope map[string]string) *mesos.Port {
	port := &mesos.Port{Number: proto.Uint32(uint32(number)), Protocol: proto.String(protocol)}
	if e.name != "" {
		port.Name = proto.String(e.name)
	}
	for key, value := range e.labels {
		scope[key] = value
	}
	port.Labels = labels(scope)
	return port
}

func addPorts(env map[string]string, app *marathon.App, i *instance.Instance) {
	var all []string
	for n, e := range endpoints(app, i) {
		if e.number() == 0 && !app.OnHost() {
			continue // a mapping without any number
		}
		text := strconv.Itoa(e.number())
		all = append(all, text)
		env["PORT"+strconv.Itoa(n)] = text
		if e.requested != 0 {
			env["PORT_"+strconv.Itoa(e.requested)] = text
		}
		if e.name != "" {
			env["PORT_"+sanitise(e.name)] = text
		}
	}
	if len(all) > 0 {
		env["PORT"], env["PORTS"] = all[0], strings.Join(all, ",")
	}
}
