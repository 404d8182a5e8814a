// Package template owns the specification every container starts from: the mounts,
// devices, masks and capabilities that Docker made the custom.
//
// It promises a fresh value at each call. It refuses to know the task.
package template

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Capabilities are those of a container that asks for none. MKNOD is left out: the list
// of devices refuses every node that it does not name, so nothing would be gained; and a
// node in a sandbox or volume could be opened by processes of the host. NET_RAW is left out because it forges a neighbour's addresses.
func Capabilities() []string {
	return []string{"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
		"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}
}

// Spec returns a container on the root file system at root that runs args.
func Spec(root string, args ...string) *specs.Spec {
	caps, ordinary := Capabilities(), 0
	return &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: root},
		Process: &specs.Process{
			Args: args, Cwd: "/", NoNewPrivileges: true,
			OOMScoreAdj: &ordinary, // the launcher's is that of what must not be killed
			Env:         []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Capabilities: &specs.LinuxCapabilities{
				Bounding: slices.Clone(caps), Effective: slices.Clone(caps), Permitted: caps,
			},
		},
		Mounts: Mounts(64 << 20),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
			},
			Resources:     &specs.LinuxResources{Devices: Devices()},
			MaskedPaths:   MaskedPaths(),
			ReadonlyPaths: ReadonlyPaths(),
		},
	}
}

// Mounts are the kernel's file systems as a container sees them.
func Mounts(shm uint64) []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + bytes(shm)}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}

// MaskedPaths hide what tells about, or reaches, the host.
func MaskedPaths() []string {
	return []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"}
}

// ReadonlyPaths are the parts of procfs that would change the host.
func ReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// Devices deny all but the usual harmless nodes.
func Devices() []specs.LinuxDeviceCgroup {
	number := func(n int64) *int64 { return &n }
	out := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	for _, minor := range []int64{3, 5, 7, 8, 9} {
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(1), Minor: number(minor), Access: "rwm"})
	}
	for _, minor := range []int64{0, 1, 2} {
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(5), Minor: number(minor), Access: "rwm"})
	}
	return append(out,
		specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(136), Access: "rwm"},
		specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(10), Minor: number(200), Access: "rwm"})
}

func bytes(n uint64) string { return strconv.FormatUint(n, 10) }
