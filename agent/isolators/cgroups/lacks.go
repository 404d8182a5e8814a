package cgroups

import (
	"bufio"
	"os"
	"slices"
	"strings"
)

// legacy are the controllers that version 2 does not have.
var legacy = []string{"net_cls", "net_prio"}

// Lacks says why containers cannot have a controller that Has denies, and what an operator
// can do about it.
func (h Hierarchy) Lacks(controller string) string {
	return h.lacks(controller, compiled(controller))
}

func (h Hierarchy) lacks(controller string, compiled bool) string {
	switch {
	case len(h.Mounts) == 0:
		return "no cgroup file system is mounted on this machine; mount one at /sys/fs/cgroup"
	case h.V2 && slices.Contains(legacy, controller):
		return "cgroup version 2, which this machine runs, does not have it; leave the isolator out, or boot with version 1 (systemd.unified_cgroup_hierarchy=0)"
	case h.V2:
		return "it is not among the cgroup.controllers of " + h.Mounts[""] + "; leave the isolator out, have the controller passed down to there " +
			"(Delegate=yes with systemd), or boot a kernel that has it"
	case !compiled:
		return "the kernel of this machine does not have it, or it is switched off (cgroup_disable= of the boot line); leave the isolator out, or boot a kernel that has it"
	}
	at := "/sys/fs/cgroup/" + controller
	return "the kernel has it, but no hierarchy of it is mounted; run: mkdir -p " + at + " && mount -t cgroup -o " + controller + " " + controller + " " + at
}

// compiled reports whether the running kernel has a controller, mounted or not.
func compiled(controller string) bool {
	f, err := os.Open("/proc/cgroups")
	if err != nil {
		return true // hidden; the hierarchy decides
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) == 4 && fields[0] == controller {
			return fields[3] == "1"
		}
	}
	return false
}

// Dir is the directory of the group that has the files of a controller, by its name of
// version 1; empty where there is none.
func (g Group) Dir(controller string) string {
	if g.V2 {
		return g.Paths[""]
	}
	return g.Paths[controller]
}
