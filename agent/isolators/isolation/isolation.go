// Package isolation owns the meaning of --isolation: which isolators of Mesos an agent is
// asked for, and which of them apply always.
//
// It promises that a name it accepts is in force: one that does not exist, is not built,
// or cannot work on this machine is refused with the reason. It refuses to turn a wall
// off: namespaces, capabilities, the filter of system calls, no_new_privs, the list of
// devices and the mount namespace hold whatever is named.
package isolation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"agora.dev/agora/agent/isolators/cgroups"
)

// Isolators that can be left out.
const (
	CPU       = "cgroups/cpu"
	Memory    = "cgroups/mem"
	BlockIO   = "cgroups/blkio"
	Cpuset    = "cgroups/cpuset"
	Hugetlb   = "cgroups/hugetlb"
	NetCls    = "cgroups/net_cls"
	NetPrio   = "cgroups/net_prio"
	PerfEvent = "cgroups/perf_event"
	Ports     = "network/ports"
	GPU       = "gpu/nvidia"
	PosixCPU  = "posix/cpu"
	PosixMem  = "posix/mem"
	DiskDu    = "disk/du"
	DiskXFS   = "disk/xfs"
)

// controllers are those that an isolator of a resource needs.
var controllers = map[string]string{
	CPU: "cpu", Memory: "memory", BlockIO: "blkio", "cgroups/pids": "pids", "cgroups/devices": "devices",
	Cpuset: "cpuset", Hugetlb: "hugetlb", NetCls: "net_cls", NetPrio: "net_prio", PerfEvent: "perf_event", Ports: "pids", GPU: "devices",
}

// optional work when they are named, and do not otherwise. Every container has its own group of each controller
// that the host has; for Cpuset, Hugetlb and NetPrio that is all there is to do, as in Mesos.
var optional = []string{CPU, Memory, BlockIO, Cpuset, Hugetlb, NetCls, NetPrio, PerfEvent, Ports, GPU, PosixCPU, PosixMem, DiskDu, DiskXFS}

// always hold, named or not.
var always = []string{
	"cgroups/devices", "cgroups/pids", "docker/runtime", "environment_secret", "filesystem/linux", "filesystem/posix", "linux/capabilities", "linux/devices",
	"linux/nnp", "linux/seccomp", "namespaces/ipc", "namespaces/pid", "network/cni", "posix/rlimits",
	"volume/host_path", "volume/image", "volume/sandbox_path", "volume/secret",
}

// missing are isolators of Mesos that Agora does not have.
var missing = map[string]string{
	"appc/runtime": "Appc images are not supported", "docker/volume": "Docker volume drivers are not supported",
	"filesystem/shared": "deprecated in Mesos; use volumes with a sandbox path", "network/port_mapping": "use bridge networks with port mappings",
	"volume/csi":         "CSI volumes are not supported",
	"filesystem/windows": "agents run on Linux", "windows/cpu": "agents run on Linux", "windows/mem": "agents run on Linux",
}

// aliases are older or shorter names.
var aliases = map[string][]string{
	"posix": {PosixCPU, PosixMem}, "process": {PosixCPU, PosixMem}, "cgroups": {CPU, Memory}, "posix/disk": {DiskDu}, "native": nil, "linux": nil,
}

// Set are the isolators that work.
type Set map[string]bool

// Has reports whether an isolator works.
func (s Set) Has(name string) bool { return s[name] }

// String lists them as --isolation does.
func (s Set) String() string { return strings.Join(slices.Sorted(maps.Keys(s)), ",") }

// Parse reads a list of names. An empty one stands for every resource that the host's
// control groups limit without further options.
func Parse(text string, h cgroups.Hierarchy) (Set, error) {
	out := Set{}
	for _, name := range always {
		out[name] = true
	}
	if strings.TrimSpace(text) == "" {
		out.add(available(h, CPU, Memory, BlockIO)...)
		return out, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if err := out.parse(strings.TrimSpace(part), h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s Set) parse(name string, h cgroups.Hierarchy) error {
	names, alias := aliases[name]
	switch {
	case name == "":
		return nil
	case name == "cgroups/all":
		s.add(available(h, CPU, Memory, BlockIO, Cpuset, Hugetlb, NetCls, NetPrio, PerfEvent)...)
		return nil
	case alias:
		for _, n := range names {
			if err := s.parse(n, h); err != nil {
				return err
			}
		}
		return nil
	case missing[name] != "":
		return fmt.Errorf("--isolation: %s is not supported: %s", name, missing[name])
	case !slices.Contains(optional, name) && !slices.Contains(always, name):
		return fmt.Errorf("--isolation: %q is unknown; known are %s", name, strings.Join(Names(), ", "))
	}
	if controller := controllers[name]; controller != "" && !h.Has(controller) {
		return fmt.Errorf("--isolation: %s needs the cgroup controller %s: %s", name, controller, h.Lacks(controller))
	}
	s[name] = true
	return nil
}

func (s Set) add(names ...string) {
	for _, n := range names {
		s[n] = true
	}
}

// available are those isolators of cgroups that the host can have.
func available(h cgroups.Hierarchy, names ...string) (out []string) {
	for _, name := range names {
		if h.Has(controllers[name]) {
			out = append(out, name)
		}
	}
	return out
}

// Names are all that Parse takes, but for aliases.
func Names() []string {
	out := append(append([]string{"cgroups/all"}, optional...), always...)
	slices.Sort(out)
	return out
}
