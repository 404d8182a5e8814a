package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a group has consumed. Memory is in bytes.
type Usage struct {
	User, System       time.Duration
	Periods, Throttled uint64
	ThrottledTime      time.Duration

	Memory, Limit, Peak uint64 // Limit is 0 for none
	SoftLimit           uint64
	MemorySwap          uint64 // both together; 0 where swap is not accounted
	RSS, Cache          uint64
	MappedFile, Swap    uint64
	Unevictable         uint64
	Kernel, KernelTCP   uint64
	OOMKills            uint64
	LimitHit            bool // its own limit made the kernel kill
	Processes, Threads  uint64
	BlockIO             []BlockIO
	pressureLow         uint64
	pressureMedium      uint64
	pressureCritical    uint64
}

// AtLimit reports whether the group has ever been full. With page cache alone that is
// nothing special.
func (u Usage) AtLimit() bool {
	return u.Limit > 0 && u.Peak+uint64(os.Getpagesize()) > u.Limit
}

// Pressure is how often reclaim was noticed on version 2: at all, when the group was
// slowed down, and when nothing was left to reclaim.
func (u Usage) Pressure() (low, medium, critical uint64) {
	return u.pressureLow, u.pressureMedium, u.pressureCritical
}

// Read returns the usage of the group. What its controllers do not tell stays zero.
func (g Group) Read() (Usage, error) {
	if _, err := os.Stat(g.any()); err != nil {
		return Usage{}, fmt.Errorf("read usage: %w", err)
	}
	if g.V2 {
		return g.readV2(), nil
	}
	return g.readV1(), nil
}

// Block returns the group's block device statistics.
func (g Group) Block() []BlockIO { return g.blocks() }

// Exhaustion is the part of Usage that tells of a memory limit that was hit.
func (g Group) Exhaustion() Usage {
	var u Usage
	if g.V2 {
		g.memoryV2(&u)
	} else {
		g.memoryV1(&u)
	}
	return u
}

func (g Group) readV1() Usage {
	var u Usage
	stat := pairs(g.Paths["cpuacct"], "cpuacct.stat")
	u.User = time.Duration(stat["user"]) * 10 * time.Millisecond
	u.System = time.Duration(stat["system"]) * 10 * time.Millisecond
	stat = pairs(g.Paths["cpu"], "cpu.stat")
	u.Periods, u.Throttled = stat["nr_periods"], stat["nr_throttled"]
	u.ThrottledTime = time.Duration(stat["throttled_time"])
	g.memoryV1(&u)
	memory := g.Paths["memory"]
	stat = pairs(memory, "memory.stat")
	u.RSS, u.Cache = stat["total_rss"], stat["total_cache"]
	u.MappedFile, u.Swap, u.Unevictable = stat["total_mapped_file"], stat["total_swap"], stat["total_unevictable"]
	u.Kernel, u.KernelTCP = number(memory, "memory.kmem.usage_in_bytes"), number(memory, "memory.kmem.tcp.usage_in_bytes")
	u.MemorySwap = number(memory, "memory.memsw.usage_in_bytes")
	u.Threads, u.Processes = number(g.Paths["pids"], "pids.current"), g.processes()
	return u
}

func (g Group) memoryV1(u *Usage) {
	memory := g.Paths["memory"]
	u.Memory = number(memory, "memory.usage_in_bytes")
	u.Peak = number(memory, "memory.max_usage_in_bytes")
	if limit := number(memory, "memory.limit_in_bytes"); limit < 1<<62 {
		u.Limit = limit
	}
	if soft := number(memory, "memory.soft_limit_in_bytes"); soft < 1<<62 {
		u.SoftLimit = soft
	}
	u.OOMKills = pairs(memory, "memory.oom_control")["oom_kill"]
	u.LimitHit = u.OOMKills > 0 && u.AtLimit()
}

func (g Group) readV2() Usage {
	var u Usage
	dir := g.Paths[""]
	stat := pairs(dir, "cpu.stat")
	u.User = time.Duration(stat["user_usec"]) * time.Microsecond
	u.System = time.Duration(stat["system_usec"]) * time.Microsecond
	u.Periods, u.Throttled = stat["nr_periods"], stat["nr_throttled"]
	u.ThrottledTime = time.Duration(stat["throttled_usec"]) * time.Microsecond
	g.memoryV2(&u)
	stat = pairs(dir, "memory.stat")
	u.RSS, u.Cache, u.MappedFile = stat["anon"], stat["file"], stat["file_mapped"]
	u.Unevictable, u.KernelTCP = stat["unevictable"], stat["sock"]
	u.Kernel = stat["kernel"]
	u.Swap = number(dir, "memory.swap.current")
	u.MemorySwap = u.Memory + u.Swap
	u.Threads, u.Processes = number(dir, "pids.current"), g.processes()
	return u
}

func (g Group) memoryV2(u *Usage) {
	dir := g.Paths[""]
	u.Memory, u.Peak = number(dir, "memory.current"), number(dir, "memory.peak")
	u.Limit, u.SoftLimit = number(dir, "memory.max"), number(dir, "memory.low")
	events, local := pairs(dir, "memory.events"), pairs(dir, "memory.events.local")
	u.OOMKills = events["oom_kill"]
	// The events count those below, too: a nested container's end is not this one's.
	u.LimitHit = u.OOMKills > 0 && local["oom"] > 0
	u.pressureLow, u.pressureMedium, u.pressureCritical = local["max"], local["high"], local["oom"]
	if u.Peak == 0 && u.LimitHit {
		u.Peak = u.Limit // kernels before 5.19 keep no peak
	}
}

func (g Group) memoryDir() string {
	if g.V2 {
		return g.Paths[""]
	}
	return g.Paths["memory"]
}

func pairs(dir, file string) map[string]uint64 {
	out := map[string]uint64{}
	if dir == "" {
		return out
	}
	b, _ := os.ReadFile(filepath.Join(dir, file))
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[key], _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return out
}

func number(dir, file string) uint64 {
	if dir == "" {
		return 0
	}
	b, _ := os.ReadFile(filepath.Join(dir, file))
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}
