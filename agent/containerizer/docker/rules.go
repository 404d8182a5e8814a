package docker

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Rules say what tasks may ask of an Engine. The zero value allows nothing that leads to the host
// but volumes of it.
type Rules struct {
	// Privileged allows what gives a task the host: privileged mode, added capabilities, devices,
	// the host's namespaces, other security profiles.
	Privileged bool
	// HostPaths are the directories that volumes of the host may come from; nil allows all.
	HostPaths []string
	// CFS limits CPU time to the request where a task has no limit. Mesos flag --cgroups_enable_cfs.
	CFS bool
	// CgroupParent is the group below which the Engine puts containers; empty leaves it to the Engine.
	CgroupParent string
	// Sandbox is where containers see their sandbox; empty means SandboxInContainer.
	Sandbox string
}

// dangerous refuses what gives a task the host.
func (r Rules) dangerous(what string) error {
	if r.Privileged {
		return nil
	}
	return fmt.Errorf("%s gives a task the host and is not allowed on this agent: see --docker_allow_privileged", what)
}

// hostPath checks where a volume comes from. The Engine resolves the path again when it mounts it: a
// link that somebody puts there meanwhile is followed.
func (r Rules) hostPath(path string) error {
	if r.HostPaths == nil {
		return nil
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("host path %s: %w", path, err)
	}
	for _, dir := range r.HostPaths {
		if allowed, err := filepath.EvalSymlinks(dir); err == nil && (real == allowed || strings.HasPrefix(real, strings.TrimSuffix(allowed, "/")+"/")) {
			return nil
		}
	}
	return fmt.Errorf("host path %s is not allowed on this agent; allowed are %s", path, strings.Join(r.HostPaths, ", "))
}
