package agent

import (
	"fmt"
	"time"

	"agora.dev/agora/internal/flags"
)

// ContainerizerOptions say what runs containers, under the names of Mesos.
type ContainerizerOptions struct {
	// Containerizers are mesos and docker; a container goes to the first that runs its type.
	Containerizers []string
	// DockerSocket, and what follows, is for the docker containerizer.
	DockerSocket          string
	DockerConfig          string // JSON of registries' logins, or the file that holds it
	DockerRemoveDelay     time.Duration
	DockerKillOrphans     bool
	DockerAllowPrivileged bool
	DockerCgroupParent    string
}

func defaultContainerizers() ContainerizerOptions {
	return ContainerizerOptions{Containerizers: []string{"mesos"}, DockerSocket: "/var/run/docker.sock", DockerRemoveDelay: 6 * time.Hour, DockerKillOrphans: true}
}

func (c *Config) containerizerFlags(set *flags.Set) {
	set.List(&c.Containerizers, "containerizers", "mesos, docker (a Docker Engine), or both: a container goes to the first that runs its type; mesos runs type DOCKER too")
	set.String(&c.DockerSocket, "docker_socket", "socket of the Docker Engine")
	set.String(&c.DockerConfig, "docker_config", "Docker's config.json with logins of registries, or the file that holds it").Secret = true
	set.Duration(&c.DockerRemoveDelay, "docker_remove_delay", "time for which the Docker Engine keeps a container that has ended")
	set.Bool(&c.DockerKillOrphans, "docker_kill_orphans", "remove containers of this agent from the Docker Engine that no task has")
	set.Bool(&c.DockerAllowPrivileged, "docker_allow_privileged", "let tasks ask the Docker Engine for privileged mode, capabilities, devices and the host's namespaces")
	set.String(&c.DockerCgroupParent, "docker_cgroup_parent", "group below which the Docker Engine puts containers; default: the Engine's")
}

func (c *Config) checkContainerizers() error {
	if len(c.Containerizers) == 0 {
		c.Containerizers = []string{"mesos"}
	}
	seen := map[string]bool{}
	for _, name := range c.Containerizers {
		if name != "mesos" && name != "docker" {
			return fmt.Errorf("--containerizers: %q is not there; mesos and docker are", name)
		}
		if seen[name] {
			return fmt.Errorf("--containerizers: %s is named twice", name)
		}
		seen[name] = true
	}
	if c.DockerRemoveDelay < 0 {
		return fmt.Errorf("--docker_remove_delay=%s: it must not be negative", c.DockerRemoveDelay)
	}
	return nil
}
