package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Texts of Mesos.
const (
	textSharesPIDs  = "Sharing agent pid namespace with top-level container is not allowed"
	textSharesIPC   = "Sharing agent IPC namespace with top-level container is not allowed"
	textShmSize     = "Only support specifying the size of /dev/shm when the IPC mode is `PRIVATE`"
	textUnknownIPC  = "Unknown IPC mode"
	textDebugIPC    = "Private IPC mode is not supported for DEBUG containers"
	textShmNotGiven = "the parent's /dev/shm cannot be shared: give the parent the ipc_mode PRIVATE"
)

// sharedMemory is where programs look for it, in a container as on the host.
const sharedMemory = "/dev/shm"

// namespaces decides what is the container's own and what it shares. Mesos: nested
// containers have their own mount and pid namespaces and share the rest with their
// parent, unless they have networks of their own, and then a host name too.
func (c *Containerizer) namespaces(b *box, oci *specs.Spec, spec containerizer.Spec) error {
	info := spec.Container.GetLinuxInfo()
	parent, nested := spec.ID.Parent()
	if !nested {
		if err := c.sharePIDs(oci, info); err != nil {
			return err
		}
		if err := c.ipc(b, oci, info, nil); err != nil {
			return err
		}
		return hostname(oci, spec)
	}
	p, err := c.find(parent)
	if err != nil {
		return err
	}
	if own := c.config.Networks != nil && c.config.Networks.Find(string(spec.ID)) != nil; !own {
		join(oci, specs.UTSNamespace, p.pid, "uts")
	}
	if info.GetSharePidNamespace() {
		join(oci, specs.PIDNamespace, p.pid, "pid")
	}
	return c.ipc(b, oci, info, p)
}

// sharePIDs gives a container the agent's pid namespace, when it asks and may.
func (c *Containerizer) sharePIDs(oci *specs.Spec, info *mesos.LinuxInfo) error {
	switch {
	case !info.GetSharePidNamespace():
		return nil
	case c.config.Isolation.DisallowSharingPID:
		return errors.New(textSharesPIDs)
	}
	remove(oci, specs.PIDNamespace)
	if oci.Root.Path == "/" {
		oci.Mounts = nil
	}
	return nil
}

// ipc decides about System V objects, message queues and /dev/shm. Mesos
// docs/isolators/namespaces-ipc.md: where nothing is said a container has its own at the
// top, and its parent's when nested; with an image its /dev/shm is its own in both cases.
func (c *Containerizer) ipc(b *box, oci *specs.Spec, info *mesos.LinuxInfo, parent *box) error {
	private, err := c.privateIPC(info, parent != nil)
	if err != nil {
		return err
	}
	explicit := info != nil && info.IpcMode != nil && !private
	switch {
	case private:
		return c.ownMemory(b, oci, info)
	case parent != nil:
		join(oci, specs.IPCNamespace, parent.pid, "ipc")
		if explicit {
			b.Shm = parent.Shm
		}
	case explicit:
		remove(oci, specs.IPCNamespace)
		b.Shm = sharedMemory
	}
	switch {
	case explicit && b.Shm == "":
		return errors.New(textShmNotGiven)
	case explicit:
		see(oci, b.Shm)
	case oci.Root.Path == "/":
		b.Shm = sharedMemory
	default:
		c.sizeMemory(oci)
	}
	return nil
}

// privateIPC reports whether a container has all of it for itself.
func (c *Containerizer) privateIPC(info *mesos.LinuxInfo, nested bool) (bool, error) {
	disallowed := c.config.Isolation.DisallowSharingIPC && !nested
	if info != nil && info.ShmSize != nil && info.GetIpcMode() != mesos.LinuxInfo_PRIVATE {
		return false, errors.New(textShmSize)
	}
	if info == nil || info.IpcMode == nil {
		return disallowed, nil
	}
	switch info.GetIpcMode() {
	case mesos.LinuxInfo_PRIVATE:
		return true, nil
	case mesos.LinuxInfo_SHARE_PARENT:
		if disallowed {
			return false, errors.New(textSharesIPC)
		}
		return false, nil
	}
	return false, errors.New(textUnknownIPC)
}

// ownMemory mounts a /dev/shm on the host, where nested containers can share it.
func (c *Containerizer) ownMemory(b *box, oci *specs.Spec, info *mesos.LinuxInfo) error {
	size := c.config.Isolation.ShmSize
	if info != nil && info.ShmSize != nil {
		if size = int64(info.GetShmSize()) << 20; size == 0 {
			return errors.New("a shm_size of 0 is no size")
		}
	}
	at := c.memoryDir(b.id)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	options := "mode=1777"
	if size > 0 {
		options += ",size=" + strconv.FormatInt(size, 10)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: at, Err: err}
	}
	b.Shm = at
	see(oci, at)
	return nil
}

// dropMemory ends the mount of ownMemory, if there is one. What has it mounted keeps it.
func (c *Containerizer) dropMemory(id containerizer.ID) error {
	at := c.memoryDir(id)
	switch err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err {
	case nil, unix.ENOENT, unix.EINVAL: // not there, or no mount
		return nil
	default:
		return &os.PathError{Op: "unmount", Path: at, Err: err}
	}
}

// removeDir removes what was kept beside a container's sandbox.
func (c *Containerizer) removeDir(id containerizer.ID) error {
	err := errors.Join(c.dropMemory(id), os.RemoveAll(c.dir(id)))
	if err != nil {
		c.failedRemovals.Add(1)
	}
	return err
}

func (c *Containerizer) memoryDir(id containerizer.ID) string { return filepath.Join(c.dir(id), "shm") }

// sizeMemory gives the /dev/shm of a container with an image the operator's size.
func (c *Containerizer) sizeMemory(oci *specs.Spec) {
	if size := c.config.Isolation.ShmSize; size > 0 {
		for i, m := range oci.Mounts {
			if m.Destination == sharedMemory {
				oci.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10)}
			}
		}
	}
}

// see has a container find a /dev/shm of the host in its place.
func see(oci *specs.Spec, source string) {
	bind := specs.Mount{Destination: sharedMemory, Source: source, Type: "bind", Options: []string{"bind", "nosuid", "noexec", "nodev"}}
	for i, m := range oci.Mounts {
		if m.Destination == sharedMemory {
			oci.Mounts[i] = bind
			return
		}
	}
	if source != sharedMemory {
		oci.Mounts = append(oci.Mounts, bind)
	}
}

func hostname(oci *specs.Spec, spec containerizer.Spec) (err error) {
	oci.Hostname = spec.Hostname
	if name := spec.Container.GetHostname(); name != "" {
		oci.Hostname = name
	}
	return nil
}

// join makes a namespace that of another process.
func join(oci *specs.Spec, kind specs.LinuxNamespaceType, pid int, file string) {
	for i := range oci.Linux.Namespaces {
		if oci.Linux.Namespaces[i].Type == kind {
			oci.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", pid, file)
		}
	}
}

func remove(oci *specs.Spec, kind specs.LinuxNamespaceType) {
	kept := oci.Linux.Namespaces[:0]
	for _, n := range oci.Linux.Namespaces {
		if n.Type != kind {
			kept = append(kept, n)
		}
	}
	oci.Linux.Namespaces = kept
}
