package launcher

import "path/filepath"

// Processes is the group that holds nothing but the processes of a container whose limits
// are on cgroup. Every launcher places them there, so that agents can change from one to the
// other: on version 2 in a leaf, because a group that passes controllers down may hold none,
// and beside them where the container shares the limits of another.
func Processes(cgroup, id string, shared, v2 bool) string {
	switch {
	case shared:
		return filepath.Join(cgroup, "enter-"+id)
	case v2:
		return filepath.Join(cgroup, "leaf")
	}
	return cgroup
}
