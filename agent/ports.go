package agent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"agora.dev/agora/agent/isolators/ports"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/resources"
)

// PortOptions are those of the isolator network/ports, under the names of Mesos.
type PortOptions struct {
	ContainerPortsWatchInterval time.Duration
	CheckAgentPortRangeOnly     bool
	EnforceContainerPorts       bool
	// ContainerPortsIsolatedRange is as [31000-32000].
	ContainerPortsIsolatedRange string
	ContainerPortsDatagrams     bool
}

func defaultPorts() PortOptions { return PortOptions{ContainerPortsWatchInterval: 30 * time.Second} }

func (c *Config) portFlags(set *flags.Set) {
	set.Duration(&c.ContainerPortsWatchInterval, "container_ports_watch_interval", "how often the isolator network/ports looks which ports of the host containers listen on")
	set.Bool(&c.CheckAgentPortRangeOnly, "check_agent_port_range_only", "let it look at ports among the agent's resources only; containers may listen on all others")
	set.Bool(&c.EnforceContainerPorts, "enforce_container_ports", "end containers that listen on ports which they were not given; else they are only logged")
	set.String(&c.ContainerPortsIsolatedRange, "container_ports_isolated_range", "let it look at these ports only, as [31000-32000]")
	set.Bool(&c.ContainerPortsDatagrams, "container_ports_datagrams", "let it look at UDP, too: at ports outside of the kernel's net.ipv4.ip_local_port_range, which clients have")
}

// PortRules are what the options say of ports.
func (c *Config) PortRules() (rules ports.Rules, err error) {
	rules.Enforce, rules.Datagrams = c.EnforceContainerPorts, c.ContainerPortsDatagrams
	switch {
	case c.ContainerPortsWatchInterval <= 0:
		return rules, errors.New("--container_ports_watch_interval must be positive")
	case c.CheckAgentPortRangeOnly && c.ContainerPortsIsolatedRange != "":
		return rules, errors.New("only one of --check_agent_port_range_only and --container_ports_isolated_range can be given")
	case c.ContainerPortsIsolatedRange != "":
		if rules.Within, err = ports.ParseRange(c.ContainerPortsIsolatedRange); err != nil {
			return rules, fmt.Errorf("--container_ports_isolated_range: %w", err)
		}
	case c.CheckAgentPortRangeOnly:
		if rules.Within, err = c.ownPorts(); err == nil && rules.Within == nil {
			err = errors.New("--check_agent_port_range_only: the agent's resources have no ports")
		}
	}
	return rules, err
}

// ownPorts are those that the agent offers.
func (c *Config) ownPorts() (resources.Ranges, error) {
	given, err := parseResources(c.Resources, c.DefaultRole)
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	named := slices.ContainsFunc(given, func(r *mesos.Resource) bool { return r.GetName() == "ports" })
	if !named {
		given = append(given, usualPorts())
	}
	return ports.Of(given), nil
}
