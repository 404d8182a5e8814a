package linux

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/userns"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/agent/sandboxes"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Texts that a launch fails with.
const (
	textUsersAndPIDs = "a container with a user namespace cannot share the agent's pid namespace; leave out share_pid_namespace, or ask for userns=host"
	textUsersAndIPC  = "a container with a user namespace cannot share the agent's IPC namespace; leave out ipc_mode SHARE_PARENT, or ask for userns=host"
	textNestedUsers  = "a nested container is in the user namespace of its pod: ask for it at the executor"
	textUsersLayers  = "an image as volume of a container without an image is not possible with a user namespace; give the container an image, or ask for userns=host"
	textUsersShared  = "mount propagation BIDIRECTIONAL is not possible with a user namespace; ask for userns=host"
)

// allocateUsers gives a container a range of ids when it is to have a user namespace. A
// nested one has its parent's.
func (c *Containerizer) allocateUsers(b *box, spec containerizer.Spec) error {
	if parent, nested := spec.ID.Parent(); nested {
		p, err := c.find(parent)
		if err != nil {
			return err
		}
		if asked := spec.UserNamespace; asked == "private" && p.UserFirst == 0 || asked == "host" && p.UserFirst != 0 {
			return fmt.Errorf("userns=%s: %s", asked, textNestedUsers)
		}
		b.UserFirst = p.UserFirst
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted, err := c.config.Isolation.Users.Wanted(spec.UserNamespace)
	if err != nil || !wanted {
		return err
	}
	info := spec.Container.GetLinuxInfo()
	switch {
	case info.GetSharePidNamespace():
		return errors.New(textUsersAndPIDs)
	case info.GetIpcMode() == mesos.LinuxInfo_SHARE_PARENT:
		return errors.New(textUsersAndIPC)
	}
	b.UserFirst, err = c.config.Isolation.Users.Allocate()
	return err
}

// releaseUsers gives the ids of a container back when none of its processes and files is
// left; the mutex is held.
func (c *Containerizer) releaseUsers(b *box) {
	if _, nested := b.id.Parent(); !nested && b.UserFirst != 0 {
		c.config.Isolation.Users.Free(b.UserFirst)
		b.UserFirst = 0
	}
}

// enterUsers describes the user namespace: a new one, or the parent's.
func (c *Containerizer) enterUsers(b *box, oci *specs.Spec, overlay *launcher.Overlay) error {
	if b.UserFirst == 0 {
		return nil
	}
	ids := idsOf(b)
	oci.Linux.UIDMappings, oci.Linux.GIDMappings = ids, ids
	oci.Linux.Namespaces = append(oci.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	if parent, nested := b.id.Parent(); nested {
		p, err := c.find(parent)
		if err != nil {
			return err
		}
		join(oci, specs.UserNamespace, p.pid, "user")
	}
	if c.config.Networks != nil && c.config.Networks.Find(string(b.id)) != nil {
		// The network is the machine's, so the container's root has no privilege in it.
		oci.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
	}
	if overlay == nil {
		return nil
	}
	return os.Chown(overlay.Upper, int(b.UserFirst), int(b.UserFirst))
}

func idsOf(b *box) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{HostID: b.UserFirst, Size: userns.Size}}
}

// mapOwners has a container in a user namespace see the files of a mount with the owners
// that they have on disk.
func mapOwners(b *box, m *specs.Mount) {
	if b.UserFirst != 0 {
		m.UIDMappings, m.GIDMappings = idsOf(b), idsOf(b)
	}
}

// ownSandbox lets a container on the machine's root, which it sees as a stranger, write to
// its sandbox, and reach it: a directory above that is closed to strangers, as that of an
// agent's work is, is covered by an empty one that holds the way to the sandbox alone.
func ownSandbox(b *box, oci *specs.Spec, sandbox string) error {
	if b.UserFirst == 0 {
		return nil
	}
	closed, err := sandboxes.ClosedAbove(sandbox)
	if err != nil {
		return err
	}
	if closed != "" {
		oci.Mounts = append(oci.Mounts, specs.Mount{Destination: closed, Type: "tmpfs", Source: "tmpfs",
			Options: []string{"nosuid", "nodev", "noexec", "mode=755", "size=64k"}})
	}
	m := sandboxMount(sandbox, sandbox)
	mapOwners(b, &m)
	oci.Mounts = append(oci.Mounts, m)
	return nil
}

// checkUsers refuses what a user namespace does not have.
func checkUsers(b *box, p *specs.Process) error {
	if b.UserFirst == 0 {
		return nil
	}
	for _, id := range append([]uint32{p.User.UID, p.User.GID}, p.User.AdditionalGids...) {
		if id >= userns.Size {
			return fmt.Errorf("user namespace: it has the ids 0 to %d, and user or group %d is not among them; name another user, or ask for userns=host", userns.Size-1, id)
		}
	}
	// What the others allow, they allow on things that belong to the machine.
	useful := append(template.Capabilities(), "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE")
	for _, name := range p.Capabilities.Effective {
		if !slices.Contains(useful, name) {
			return fmt.Errorf("user namespace: capability %s does nothing in it, since networks, mounts and devices stay the machine's; leave it out, or ask for userns=host",
				strings.TrimPrefix(name, "CAP_"))
		}
	}
	return nil
}

// givePipes makes the user of a command the owner of its pipes, for /dev/stdout to be
// opened again.
func givePipes(b *box, p *specs.Process, files [3]*os.File) error {
	if b.UserFirst == 0 {
		return nil
	}
	for _, f := range files {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		if err := f.Chown(int(b.UserFirst+p.User.UID), int(b.UserFirst+p.User.GID)); err != nil {
			return err
		}
	}
	return nil
}
