package assembly

import (
	"context"
	"path/filepath"
	"slices"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/composing"
	"agora.dev/agora/agent/containerizer/docker"
	"agora.dev/agora/agent/containerizer/linux"
)

// compose puts the containerizers together that an agent's options name. The Engine is nil when
// it is not among them; given is what of its options comes from elsewhere.
func compose(ctx context.Context, config agent.Config, own *linux.Containerizer, given docker.Config) (containerizer.Containerizer, *docker.Containerizer, error) {
	if !slices.Contains(config.Containerizers, "docker") {
		return own, nil, nil
	}
	given.Socket, given.Agent, given.Dir = config.DockerSocket, name(config.WorkDir), filepath.Join(runtimeDir(config), "docker")
	given.RemoveDelay, given.KeepOrphans = config.DockerRemoveDelay, !config.DockerKillOrphans
	given.Rules = docker.Rules{Privileged: config.DockerAllowPrivileged, HostPaths: agent.Directories(config.HostPathAllow),
		CFS: config.CgroupsEnableCFS, CgroupParent: config.DockerCgroupParent, Sandbox: config.SandboxDirectory}
	engine, err := docker.New(ctx, given)
	if err != nil {
		return nil, nil, err
	}
	var members []composing.Member
	for _, named := range config.Containerizers {
		if named == "docker" {
			members = append(members, composing.Member{Name: named, Containerizer: engine, Accepts: docker.Accepts})
		} else {
			members = append(members, composing.Member{Name: named, Containerizer: own, Accepts: func(containerizer.Spec) bool { return true }})
		}
	}
	return composing.New(members...), engine, nil
}
