package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
)

// bridgeNetwork is the network of runs that map a port: agents have it built in.
const bridgeNetwork = "agora/bridge"

// anyFrom is where the search for any port begins: the range that agents offer by
// default. What lies below has been offered to be asked for by number.
const anyFrom = 31000

// publish is a port of the agent, 0 for any, and the container's port that it leads to;
// 0 when the command listens on the agent's port itself.
type publish struct {
	Host, Container uint16
	Protocol        string
}

// parsePublish reads HOST or HOST:CONTAINER, with /udp or /tcp behind.
func parsePublish(text string) (p publish, err error) {
	ports, protocol, given := strings.Cut(text, "/")
	if p.Protocol = protocol; !given {
		p.Protocol = "tcp"
	}
	host, container, mapped := strings.Cut(ports, ":")
	number := func(text string, least uint64) uint16 {
		n, failed := strconv.ParseUint(text, 10, 16)
		if failed != nil || n < least {
			err = usagef("--publish %q: want a port of the ports resource, 0 for any, and with :PORT behind it a port of the container: 8080:80", text)
		}
		return uint16(n)
	}
	p.Host = number(host, 0)
	if mapped {
		p.Container = number(container, 1)
	}
	switch {
	case err != nil:
	case p.Protocol != "tcp" && p.Protocol != "udp":
		err = usagef("--publish %q: the protocol is tcp or udp", text)
	case !mapped && given:
		err = usagef("--publish %q: a protocol is for a port that is mapped to one of the container, as 5353:53/udp", text)
	}
	return p, err
}

// mapped tells whether the run is in a network of its own.
func (o *runOptions) mapped() bool {
	for _, p := range o.Ports {
		if p.Container != 0 {
			return true
		}
	}
	return false
}

// checkPorts refuses what only one of the two kinds of network can do.
func (o *runOptions) checkPorts() error {
	if !o.mapped() {
		return nil
	}
	for _, p := range o.Ports {
		if p.Container == 0 {
			return usagef("--publish %d: with another port mapped the run is in a network of its own; map this one too, as %d:80", p.Host, p.Host)
		}
	}
	return nil
}

// hostPorts are the ports to take out of an offer; one that is mapped for tcp and for udp
// is taken once.
func (o *runOptions) hostPorts() (out []uint16) {
	for _, p := range o.Ports {
		if p.Host == 0 || !slices.Contains(out, p.Host) {
			out = append(out, p.Host)
		}
	}
	return out
}

// networks are what a run with mapped ports is attached to; taken are its ports of the
// agent.
func (o *runOptions) networks(taken []uint64) []*mesos.NetworkInfo {
	if !o.mapped() {
		return nil
	}
	info := &mesos.NetworkInfo{Name: ptr(bridgeNetwork)}
	named := o.hostPorts()
	anyPorts := slices.DeleteFunc(slices.Clone(taken), func(port uint64) bool { return slices.Contains(named, uint16(port)) })
	for _, p := range o.Ports {
		host := uint32(p.Host)
		if host == 0 && len(anyPorts) > 0 {
			host, anyPorts = uint32(anyPorts[0]), anyPorts[1:]
		}
		info.PortMappings = append(info.PortMappings, &mesos.NetworkInfo_PortMapping{
			HostPort: ptr(host), ContainerPort: ptr(uint32(p.Container)), Protocol: ptr(p.Protocol)})
	}
	return []*mesos.NetworkInfo{info}
}

// portVariables tell the command where to listen: in a network of its own on the ports that
// it is mapped to, else on those of the agent.
func (o *runOptions) portVariables(taken []uint64) map[string]string {
	if o.mapped() {
		taken = nil
		for _, p := range o.Ports {
			taken = append(taken, uint64(p.Container))
		}
	}
	env := map[string]string{}
	for i, port := range taken {
		env[fmt.Sprintf("PORT%d", i)] = fmt.Sprint(port)
		if i == 0 {
			env["PORT"] = fmt.Sprint(port)
		}
	}
	return env
}

// appPorts puts ports and network into the document of an app.
func (o *runOptions) appPorts(app, container map[string]any) {
	if o.mapped() {
		mappings := []map[string]any{}
		for _, p := range o.Ports {
			mappings = append(mappings, map[string]any{"hostPort": p.Host, "containerPort": p.Container, "protocol": p.Protocol})
		}
		container["portMappings"], app["container"] = mappings, container
		env := o.portVariables(nil)
		maps.Copy(env, o.Env)
		app["env"] = env
		app["networks"] = []map[string]any{{"mode": "container/bridge"}}
		return
	}
	ports, fixed := []map[string]any{}, false
	for _, p := range o.Ports {
		ports = append(ports, map[string]any{"port": p.Host, "protocol": "tcp"})
		fixed = fixed || p.Host != 0
	}
	app["portDefinitions"], app["requirePorts"] = ports, fixed
}

// lackingPorts says which ports an offer does not have, and which it has.
func lackingPorts(offered []*mesos.Resource, wanted []uint16) string {
	var names, have []string
	for _, port := range wanted {
		if port != 0 {
			names = append(names, strconv.Itoa(int(port)))
		}
	}
	for _, r := range offered {
		if r.GetName() == "ports" {
			have = append(have, joinRanges("", r.GetRanges()))
		}
	}
	if len(names) == 0 || len(have) == 0 {
		return fmt.Sprintf("lacks %d of the ports", len(wanted))
	}
	return fmt.Sprintf("lacks port %s: its free ports are %s", strings.Join(names, ", "), strings.Join(have, ", "))
}
