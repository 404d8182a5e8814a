package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/endpoint"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/legacy"
)

// portMapping is the isolator that these options are of.
const portMapping = "the isolator network/port_mapping is not built; networks with addresses of their own are (--network_cni_config_dir)"

// legacyFlags defines the options of Mesos's agent that have no effect here, or cannot be kept.
func legacyFlags(set *flags.Set) {
	legacy.Flags(set)
	set.Fixed("authenticatee", "an agent shows its --credential as it opens its link", "crammd5")
	for _, name := range []string{"authentication_backoff_factor", "authentication_timeout_min", "authentication_timeout_max"} {
		set.Fixed(name, "an agent authenticates as it opens its link, with the delays of registration")
	}
	set.Fixed("cgroups_hierarchy", "the mounts of control groups are found", "/sys/fs/cgroup")
	set.Fixed("docker", "the Docker Engine is asked over --docker_socket")
	set.Fixed("docker_mesos_image", "tasks in the Docker Engine outlive the agent, wherever it runs")
	set.Fixed("docker_volume_checkpoint_dir", "the isolator docker/volume is not built; the Docker Engine keeps its volumes itself")
	set.FixedBool("docker_volume_chown", "the isolator docker/volume is not built", "false")
	set.Fixed("cgroups_destroy_timeout", "the end of a container waits for its control groups, and is repeated until they are gone")
	set.Fixed("docker_stop_timeout", "the kill policy of a task says it")
	set.Fixed("executor_reregistration_retry_interval", "executors come back by themselves")
	set.FixedBool("http_command_executor", "the executor of commands is part of the agent")
	set.Fixed("image_providers", "images of Docker and of the OCI are always there", "docker", "DOCKER")
	set.Fixed("launcher_dir", "one program is everything")
	for _, name := range []string{"appc_simple_discovery_uri_prefix", "appc_store_dir"} {
		set.Fixed(name, "tasks with Appc images are refused")
	}
	for _, name := range []string{"ephemeral_ports_per_container", "eth0_name", "lo_name", "egress_rate_limit_per_container", "egress_unique_flow_per_container",
		"egress_flow_classifier_parent"} {
		set.Refused(name, portMapping)
	}
	for _, name := range []string{"disk_profile_adaptor", "resource_provider_config_dir", "csi_plugin_config_dir"} {
		set.Refused(name, "resource providers and CSI are not built")
	}
	set.Refused("agent_subsystems", "start the agent in the control groups that it should be in, by its unit for example")
	set.Alias("slave_subsystems", "agent_subsystems")
	set.Refused("secret_resolver", legacy.Libraries+"; --secrets_dir has secrets that tasks refer to")
}

// MesosOptions are further options of Mesos's agent.
type MesosOptions struct {
	// DefaultContainerInfo is the ContainerInfo, as JSON, of executors that have none.
	DefaultContainerInfo string
	// IP6 is told of containers on the host's network, beside the agent's own address.
	IP6          string
	IP6Discovery string
	// Features are the capabilities that the agent tells the master, as JSON; empty: all.
	Features string
	// GCNonExecutor has sandboxes collected of containers that LAUNCH_CONTAINER and LAUNCH_NESTED_CONTAINER made, when they have ended.
	GCNonExecutor bool
	// IgnoreImageRuntime leaves entrypoint, command, environment, user and working directory of images out.
	IgnoreImageRuntime bool
}

func (c *Config) mesosFlags(set *flags.Set) {
	legacyFlags(set)
	set.String(&c.DefaultContainerInfo, "default_container_info", `container of executors that have none, as {"type":"MESOS","volumes":[{"host_path":"tmp","container_path":"/tmp","mode":"RW"}]}`)
	set.String(&c.IP6, "ip6", "IPv6 address that is told of containers on the host's network")
	set.String(&c.IP6Discovery, "ip6_discovery_command", "command that prints that address; not together with --ip6")
	set.Bool(&c.GCNonExecutor, "gc_non_executor_container_sandboxes", "collect, after gc_delay, the sandboxes of ended containers that calls of the API made; else REMOVE_CONTAINER does")
	set.Bool(&c.IgnoreImageRuntime, "docker_ignore_runtime", "leave entrypoint, command, environment, user and working directory of images out")
	set.String(&c.Features, "agent_features", `capabilities that the master is told, as {"capabilities":[{"type":"MULTI_ROLE"},{"type":"HIERARCHICAL_ROLE"},{"type":"RESERVATION_REFINEMENT"}]}; default: all`)
}

func (c *Config) checkMesos() error {
	if c.IP6Discovery != "" {
		if c.IP6 != "" {
			return errors.New("--ip6 and --ip6_discovery_command both name an address: give one of them")
		}
		found, err := endpoint.Discover(c.IP6Discovery)
		if err != nil {
			return fmt.Errorf("--ip6_discovery_command: %w", err)
		}
		c.IP6, c.IP6Discovery = found, ""
	}
	if ip := net.ParseIP(c.IP6); c.IP6 != "" && (ip == nil || ip.To4() != nil) {
		return fmt.Errorf("--ip6=%s is not an IPv6 address", c.IP6)
	}
	_, err := c.defaultContainer()
	_, wrong := c.features()
	return errors.Join(err, wrong)
}

// defaultContainer reads --default_container_info; nil where there is none.
func (c *Config) defaultContainer() (*mesos.ContainerInfo, error) {
	if c.DefaultContainerInfo == "" {
		return nil, nil
	}
	out := new(mesos.ContainerInfo)
	if err := codec.Unmarshal(codec.JSON, []byte(c.DefaultContainerInfo), out); err != nil {
		return nil, fmt.Errorf("--default_container_info: %w", err)
	}
	return out, nil
}

// needed are capabilities that a master counts on.
var needed = []mesos.AgentInfo_Capability_Type{
	mesos.AgentInfo_Capability_MULTI_ROLE, mesos.AgentInfo_Capability_HIERARCHICAL_ROLE, mesos.AgentInfo_Capability_RESERVATION_REFINEMENT,
}

// features reads --agent_features; nil stands for all.
func (c *Config) features() (map[mesos.AgentInfo_Capability_Type]bool, error) {
	if c.Features == "" {
		return nil, nil
	}
	text := c.Features
	if strings.HasPrefix(text, "/") {
		content, err := os.ReadFile(text)
		if err != nil {
			return nil, fmt.Errorf("--agent_features: %w", err)
		}
		text = string(content)
	}
	var said struct {
		Capabilities []struct{ Type string }
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("--agent_features: %w", err)
	}
	out := map[mesos.AgentInfo_Capability_Type]bool{}
	for _, capability := range said.Capabilities {
		number, known := mesos.AgentInfo_Capability_Type_value[capability.Type]
		if !known {
			return nil, fmt.Errorf("--agent_features: %q is not a capability of agents", capability.Type)
		}
		out[mesos.AgentInfo_Capability_Type(number)] = true
	}
	for _, kind := range needed {
		if !out[kind] {
			return nil, fmt.Errorf("--agent_features: %s is missing, which every agent needs", kind)
		}
	}
	return out, nil
}
