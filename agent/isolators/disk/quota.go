// Package disk owns what a container may keep on disk: which directories of it have a bound,
// how much is in them, and what is said when it is too much.
//
// It promises that a tree is measured as du(1) does (blocks in use, a file with several names
// once), within its file system, without following a link, whatever is made and removed in it
// meanwhile. It refuses to run a program for that, and to end a container: that is the
// containerizer's business.
package disk

import (
	"fmt"
	"math"
	"path/filepath"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// name is that of the resource.
const name = "disk"

// Quota is a directory with the resources of type disk that were given for it.
type Quota struct {
	// Path is the sandbox, or a persistent volume.
	Path string
	// Sandbox says which of the two.
	Sandbox bool
	// Mount says that it is a disk of its own, which is its own bound.
	Mount bool
	// Resources are those whose sum is Bytes.
	Resources []*mesos.Resource
	Bytes     uint64
}

// Plan finds the directories of a container that have a bound, the sandbox first. A container
// without a resource of type disk has none (Mesos disk/du).
func Plan(sandbox string, resources []*mesos.Resource, volumes []containerizer.PersistentVolume) []Quota {
	own := Quota{Path: sandbox, Sandbox: true}
	var out []Quota
	for _, r := range resources {
		switch {
		case r.GetName() != name:
		case r.GetDisk().GetPersistence() != nil:
			out = addVolume(out, r, volumes)
		case r.GetDisk().GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT:
			// Mesos: a disk of its own without a volume bounds nothing of the sandbox.
		default:
			own.add(r)
		}
	}
	if own.Resources != nil {
		out = append([]Quota{own}, out...)
	}
	return out
}

func addVolume(out []Quota, r *mesos.Resource, volumes []containerizer.PersistentVolume) []Quota {
	for _, v := range volumes {
		if v.ID != r.GetDisk().GetPersistence().GetId() || v.Source == "" {
			continue
		}
		for i := range out {
			if out[i].Path == filepath.Clean(v.Source) {
				out[i].add(r)
				return out
			}
		}
		q := Quota{Path: filepath.Clean(v.Source), Mount: v.Mount}
		q.add(r)
		return append(out, q)
	}
	return out // a volume that the container does not have
}

func (q *Quota) add(r *mesos.Resource) {
	q.Resources = append(q.Resources, r)
	q.Bytes += uint64(math.Round(max(0, r.GetScalar().GetValue()) * (1 << 20)))
}

// Describe puts what is known into a container's statistics, in the order of the quotas. used has
// the bytes of each path that has been measured. Mesos posix/disk.cpp.
func Describe(out *mesos.ResourceStatistics, quotas []Quota, used map[string]uint64) {
	for _, q := range quotas {
		one := &mesos.DiskStatistics{LimitBytes: &q.Bytes}
		if bytes, measured := used[q.Path]; measured {
			one.UsedBytes = &bytes
		}
		if q.Sandbox {
			out.DiskLimitBytes, out.DiskUsedBytes = one.LimitBytes, one.UsedBytes
		} else {
			info := q.Resources[0].GetDisk()
			one.Source, one.Persistence = info.GetSource(), info.GetPersistence()
		}
		out.DiskStatistics = append(out.DiskStatistics, one)
	}
}

// Exceeded is the end of a container that has more on disk than it was given; ok is false
// while it has not.
func (q Quota) Exceeded(used uint64) (end containerizer.Termination, ok bool) {
	if q.Mount || used <= q.Bytes {
		return end, false
	}
	return q.end(fmt.Sprintf("Disk usage (%s) exceeds quota (%s)", size(used), size(q.Bytes))), true
}

// Unmeasurable is the end of a container whose tree is made so that it cannot be measured.
func (q Quota) Unmeasurable(err error) containerizer.Termination {
	return q.end(fmt.Sprintf("Disk usage cannot be measured, and the quota (%s) not be kept: %v", size(q.Bytes), err))
}

func (q Quota) end(message string) containerizer.Termination {
	return containerizer.Termination{State: mesos.TaskState_TASK_FAILED, Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK,
		Message: message, Limited: q.Resources}
}

// size prints bytes as Mesos does: in the largest unit that divides them.
func size(bytes uint64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	at := 0
	for at < len(units)-1 && bytes > 0 && bytes%1024 == 0 {
		bytes, at = bytes/1024, at+1
	}
	return fmt.Sprintf("%d%s", bytes, units[at])
}
