package launcher

import (
	"errors"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Features of a request that launchers of earlier builds drop without a word. One that does not
// name them must not be asked for them: the container would be less bounded than it looks.
const (
	UserNamespaces = "user namespaces"
	DeviceRulesV2  = "rules of devices on cgroup v2"
	Controllers    = "limits of cpuset, hugetlb, net_cls and blkio"
)

// ErrTooOld is returned for a request that the launcher's process would only do in part.
var ErrTooOld = errors.New("the launcher's program is older than the agent's")

// Features are those of launchers of this build.
func Features() []string { return []string{UserNamespaces, DeviceRulesV2, Controllers} }

// Missing are those of the needed features that are not among the present ones.
func Missing(needed, present []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(f string) bool { return slices.Contains(present, f) })
}

// Needs are the features without which a request would be done in part. unified says that the
// machine has version 2 of control groups.
func Needs(request Request, unified bool) (out []string) {
	if request.Spec == nil || request.Spec.Linux == nil {
		return nil
	}
	resources := request.Spec.Linux.Resources
	if resources == nil {
		resources = &specs.LinuxResources{}
	}
	if needsUsers(request.Spec) {
		out = append(out, UserNamespaces)
	}
	if unified && len(resources.Devices) > 0 {
		out = append(out, DeviceRulesV2)
	}
	if cpu := resources.CPU; cpu != nil && cpu.Cpus+cpu.Mems != "" || len(resources.HugepageLimits) > 0 || resources.Network != nil || resources.BlockIO != nil {
		out = append(out, Controllers)
	}
	return out
}

func needsUsers(spec *specs.Spec) bool {
	return len(spec.Linux.UIDMappings) > 0 ||
		slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) ||
		slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return len(m.UIDMappings) > 0 })
}
