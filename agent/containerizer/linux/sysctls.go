package linux

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Parameters of the kernel that belong to the namespace of System V objects and message queues.
var ipcSysctls = []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax", "kernel.shmmni"}

// sysctl takes a parameter as docker run --sysctl does: NAME=VALUE. It has to belong to a
// namespace that is the container's alone: others would be changed for the pod, or for the machine.
func (p placing) sysctl(oci *specs.Spec, value string) error {
	name, setting, ok := strings.Cut(value, "=")
	if !ok || setting == "" || strings.ContainsAny(setting, "\x00\n") {
		return errors.New("give it as NAME=VALUE")
	}
	if parts := strings.Split(name, "."); strings.ContainsAny(name, "/\x00") || slices.Contains(parts, "") {
		return fmt.Errorf("%q is no name of a parameter", name)
	}
	switch {
	case slices.Contains(ipcSysctls, name) || strings.HasPrefix(name, "fs.mqueue."):
		if !ownNamespace(oci, specs.IPCNamespace) {
			return fmt.Errorf("%s is shared with the pod or the agent; ask for ipc_mode PRIVATE", name)
		}
	case strings.HasPrefix(name, "net."):
		if p.config.Networks == nil || p.config.Networks.Find(string(p.spec.ID)) == nil {
			return fmt.Errorf("%s is shared with the pod or the machine; give the container a network of its own", name)
		}
	default:
		return fmt.Errorf("%s is the whole machine's; parameters of containers are net.*, fs.mqueue.*, %s", name, strings.Join(ipcSysctls, ", "))
	}
	if oci.Linux.Sysctl == nil {
		oci.Linux.Sysctl = map[string]string{}
	}
	oci.Linux.Sysctl[name] = setting
	return nil
}

// ownNamespace tells whether a container has a new namespace of a kind.
func ownNamespace(oci *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(oci.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind && n.Path == "" })
}
