package linux

import (
	"os"
	"strings"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/devices"
	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// Capabilities is what containers can have on this host.
type Capabilities struct {
	Root    bool
	Cgroups string // "v1", "v2" or empty
	Overlay bool
	Seccomp bool
	Native  bool // the native launcher runs here
	// Missing says in words what is degraded, one line each; empty when nothing is.
	Missing []string
}

// String is one line for a log.
func (c Capabilities) String() string {
	if len(c.Missing) == 0 {
		return "containers: nothing is missing"
	}
	return "containers: " + strings.Join(c.Missing, "; ")
}

// Probe looks at the host and changes nothing.
func Probe() Capabilities {
	var c Capabilities
	lack := func(text string) { c.Missing = append(c.Missing, text) }
	if c.Root = os.Geteuid() == 0; !c.Root {
		lack("not root: no container can be started")
	}
	if _, err := shim.Image(); err == nil {
		c.Native = true
	} else {
		lack(err.Error())
	}
	h, err := cgroups.Detect()
	switch {
	case err != nil || len(h.Mounts) == 0:
		lack("no cgroups: resources are neither limited nor measured")
	case h.V2:
		c.Cgroups = "v2"
		files, _ := os.ReadFile(h.Mounts[""] + "/cgroup.controllers")
		for _, controller := range []string{"cpu", "memory", "pids"} {
			if !strings.Contains(" "+strings.TrimSpace(string(files))+" ", " "+controller+" ") {
				lack("no cgroup controller " + controller)
			}
		}
		if err := devices.Supported(); c.Root && err != nil {
			lack(err.Error() + ": no container can be started")
		}
	default:
		c.Cgroups = "v1"
		for _, controller := range []string{"cpu", "memory", "pids", "devices"} {
			if _, ok := h.Mounts[controller]; !ok {
				lack("no cgroup controller " + controller)
			}
		}
	}
	filesystems, _ := os.ReadFile("/proc/filesystems")
	if c.Overlay = strings.Contains(string(filesystems), "\toverlay\n"); !c.Overlay {
		lack("no overlay file system (modprobe overlay): the files of images are copied for each container")
	}
	if _, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail"); err == nil {
		c.Seccomp = true
	} else {
		lack("no seccomp: system calls are not filtered")
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		if major := name.Release[0]; major < '5' && name.Release[1] == '.' {
			lack("Linux older than 5.12: the native launcher does not run")
			c.Native = false
		}
	}
	return c
}
