package assembly

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/composing"
	"agora.dev/agora/agent/containerizer/docker"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/images/logins"
)

// compose puts the containerizers together that an agent's options name. The Engine is nil when
// it is not among them.
func compose(ctx context.Context, config agent.Config, own *linux.Containerizer, fetch docker.Fetcher, all logins.Logins, log *slog.Logger) (containerizer.Containerizer, *docker.Containerizer, error) {
	if !slices.Contains(config.Containerizers, "docker") {
		return own, nil, nil
	}
	engine, err := docker.New(ctx, docker.Config{Socket: config.DockerSocket, Agent: name(config.WorkDir), Dir: filepath.Join(runtimeDir(config), "docker"),
		Fetcher: fetch, Logins: all, RemoveDelay: config.DockerRemoveDelay, KeepOrphans: !config.DockerKillOrphans, Log: log,
		Rules: docker.Rules{Privileged: config.DockerAllowPrivileged, HostPaths: agent.Directories(config.HostPathAllow),
			CFS: config.CgroupsEnableCFS, CgroupParent: config.DockerCgroupParent}})
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
