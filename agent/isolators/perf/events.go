package perf

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"golang.org/x/sys/unix"
)

// Event is something that the kernel can count for a container.
type Event struct {
	// Name is that of the program perf.
	Name         string
	kind, config uint64
	// set puts what was counted into the statistics.
	set func(s *mesos.PerfStatistics, value uint64)
}

// events are those that PerfStatistics has a field for.
var events = []Event{
	{"cycles", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CPU_CYCLES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.Cycles })},
	{"stalled-cycles-frontend", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND, count(func(s *mesos.PerfStatistics) **uint64 { return &s.StalledCyclesFrontend })},
	{"stalled-cycles-backend", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_STALLED_CYCLES_BACKEND, count(func(s *mesos.PerfStatistics) **uint64 { return &s.StalledCyclesBackend })},
	{"instructions", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.Instructions })},
	{"cache-references", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CACHE_REFERENCES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.CacheReferences })},
	{"cache-misses", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CACHE_MISSES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.CacheMisses })},
	{"branches", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_BRANCH_INSTRUCTIONS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.Branches })},
	{"branch-misses", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_BRANCH_MISSES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.BranchMisses })},
	{"bus-cycles", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_BUS_CYCLES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.BusCycles })},
	{"ref-cycles", unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_REF_CPU_CYCLES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.RefCycles })},
	{"cpu-clock", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CPU_CLOCK, milliseconds(func(s *mesos.PerfStatistics) **float64 { return &s.CpuClock })},
	{"task-clock", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK, milliseconds(func(s *mesos.PerfStatistics) **float64 { return &s.TaskClock })},
	{"page-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.PageFaults })},
	{"minor-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS_MIN, count(func(s *mesos.PerfStatistics) **uint64 { return &s.MinorFaults })},
	{"major-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_PAGE_FAULTS_MAJ, count(func(s *mesos.PerfStatistics) **uint64 { return &s.MajorFaults })},
	{"context-switches", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CONTEXT_SWITCHES, count(func(s *mesos.PerfStatistics) **uint64 { return &s.ContextSwitches })},
	{"cpu-migrations", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CPU_MIGRATIONS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.CpuMigrations })},
	{"alignment-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_ALIGNMENT_FAULTS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.AlignmentFaults })},
	{"emulation-faults", unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_EMULATION_FAULTS, count(func(s *mesos.PerfStatistics) **uint64 { return &s.EmulationFaults })},
	{"L1-dcache-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcacheLoads })},
	{"L1-dcache-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcacheLoadMisses })},
	{"L1-dcache-stores", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcacheStores })},
	{"L1-dcache-store-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcacheStoreMisses })},
	{"L1-dcache-prefetches", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcachePrefetches })},
	{"L1-dcache-prefetch-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1D, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1DcachePrefetchMisses })},
	{"L1-icache-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1I, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1IcacheLoads })},
	{"L1-icache-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1I, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1IcacheLoadMisses })},
	{"L1-icache-prefetches", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1I, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1IcachePrefetches })},
	{"L1-icache-prefetch-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_L1I, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.L1IcachePrefetchMisses })},
	{"LLC-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcLoads })},
	{"LLC-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcLoadMisses })},
	{"LLC-stores", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcStores })},
	{"LLC-store-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcStoreMisses })},
	{"LLC-prefetches", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcPrefetches })},
	{"LLC-prefetch-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_LL, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.LlcPrefetchMisses })},
	{"dTLB-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbLoads })},
	{"dTLB-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbLoadMisses })},
	{"dTLB-stores", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbStores })},
	{"dTLB-store-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbStoreMisses })},
	{"dTLB-prefetches", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbPrefetches })},
	{"dTLB-prefetch-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_DTLB, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.DtlbPrefetchMisses })},
	{"iTLB-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_ITLB, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.ItlbLoads })},
	{"iTLB-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_ITLB, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.ItlbLoadMisses })},
	{"branch-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_BPU, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.BranchLoads })},
	{"branch-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_BPU, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.BranchLoadMisses })},
	{"node-loads", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodeLoads })},
	{"node-load-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_READ, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodeLoadMisses })},
	{"node-stores", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodeStores })},
	{"node-store-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_WRITE, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodeStoreMisses })},
	{"node-prefetches", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_ACCESS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodePrefetches })},
	{"node-prefetch-misses", unix.PERF_TYPE_HW_CACHE, cache(unix.PERF_COUNT_HW_CACHE_NODE, unix.PERF_COUNT_HW_CACHE_OP_PREFETCH, unix.PERF_COUNT_HW_CACHE_RESULT_MISS), count(func(s *mesos.PerfStatistics) **uint64 { return &s.NodePrefetchMisses })},
}

// count sets a field that takes what was counted as it is.
func count(field func(*mesos.PerfStatistics) **uint64) func(*mesos.PerfStatistics, uint64) {
	return func(s *mesos.PerfStatistics, value uint64) { *field(s) = &value }
}

// milliseconds sets a field of a clock, which counts nanoseconds; the program perf, whose
// figures are Mesos's, prints milliseconds.
func milliseconds(field func(*mesos.PerfStatistics) **float64) func(*mesos.PerfStatistics, uint64) {
	return func(s *mesos.PerfStatistics, value uint64) {
		out := float64(value) / float64(time.Millisecond)
		*field(s) = &out
	}
}

// cache is the config of a cache event (perf_event_open(2), PERF_TYPE_HW_CACHE).
func cache(id, operation, result uint64) uint64 { return id | operation<<8 | result<<16 }

// Parse reads the names of events, separated by commas (Mesos --perf_events). Case does not
// matter, nor whether words are joined by - or _, as in Mesos.
func Parse(text string) ([]Event, error) {
	var out []Event
	for part := range strings.SplitSeq(text, ",") {
		name := strings.TrimSpace(part)
		if name == "" {
			continue
		}
		at := slices.IndexFunc(events, func(e Event) bool { return strings.EqualFold(e.Name, strings.ReplaceAll(name, "_", "-")) })
		if at < 0 {
			return nil, fmt.Errorf("--perf_events: %q is unknown; known are %s", name, strings.Join(Names(), ", "))
		}
		if slices.ContainsFunc(out, func(e Event) bool { return e.Name == events[at].Name }) {
			continue
		}
		out = append(out, events[at])
	}
	return out, nil
}

// Names are those that Parse takes.
func Names() []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Name)
	}
	return out
}
