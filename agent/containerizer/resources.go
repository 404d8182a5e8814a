package containerizer

import (
	"slices"

	mesos "agora.dev/agora/api/mesos/v1"
)

// What resources mean to a kernel. Mesos docker.cpp, cgroups/cpu and cgroups/mem.
const (
	// SharesPerCPU are the CPU shares of one cpu, and MinShares the least of a container.
	SharesPerCPU = 1024
	MinShares    = 2
	// CPUPeriodMicros is what a limit of CPU time counts in, and MinCPUQuotaMicros the least of it.
	CPUPeriodMicros   = 100000
	MinCPUQuotaMicros = 1000
	// MinMemMiB is the least limit of memory.
	MinMemMiB = 32
)

// Scalar adds up the resources of a name.
func Scalar(resources []*mesos.Resource, name string) (total float64) {
	for _, r := range resources {
		if r.GetName() == name {
			total += r.GetScalar().GetValue()
		}
	}
	return total
}

// HasPort says whether a port of the host is among the resources.
func HasPort(resources []*mesos.Resource, port uint64) bool {
	return slices.ContainsFunc(resources, func(r *mesos.Resource) bool {
		return r.GetName() == "ports" && slices.ContainsFunc(r.GetRanges().GetRange(), func(v *mesos.Value_Range) bool {
			return v.GetBegin() <= port && port <= v.GetEnd()
		})
	})
}
