package cgroups

import (
	"os"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mostProcesses bounds the processes of a container that names no bound, where the machine has numbers enough.
const mostProcesses = 32768

// processBound is that bound on this machine: at most a quarter of its process numbers, so that a container which
// forks without end leaves some to the others.
var processBound = sync.OnceValue(func() int64 {
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	numbers, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || bad != nil {
		return mostProcesses
	}
	return min(mostProcesses, numbers/4)
})

// BoundProcesses returns resources with a bound on processes, one more than asked for: a container's init counts. r may be nil.
func BoundProcesses(r *specs.LinuxResources) *specs.LinuxResources {
	out := specs.LinuxResources{}
	if r != nil {
		out = *r
	}
	limit := processBound()
	if out.Pids != nil && out.Pids.Limit != nil && *out.Pids.Limit > 0 {
		limit = *out.Pids.Limit + 1
	}
	out.Pids = &specs.LinuxPids{Limit: &limit}
	return &out
}
