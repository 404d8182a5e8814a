package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a group has consumed.
type Usage struct {
	User, System                 time.Duration
	Periods, Throttled           uint64
	ThrottledTime                time.Duration
	Memory, Limit, Peak          uint64 // bytes; Limit is 0 for none
	RSS, Cache, MappedFile, Swap uint64
	Processes                    uint64
	OOMKills                     uint64
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

func (g Group) readV1() Usage {
	var u Usage
	cpuacct, memory := g.Paths["cpuacct"], g.Paths["memory"]
	stat := pairs(cpuacct, "cpuacct.stat")
	u.User = time.Duration(stat["user"]) * 10 * time.Millisecond
	u.System = time.Duration(stat["system"]) * 10 * time.Millisecond
	stat = pairs(g.Paths["cpu"], "cpu.stat")
	u.Periods, u.Throttled = stat["nr_periods"], stat["nr_throttled"]
	u.ThrottledTime = time.Duration(stat["throttled_time"])
	u.Memory = number(memory, "memory.usage_in_bytes")
	u.Peak = number(memory, "memory.max_usage_in_bytes")
	if limit := number(memory, "memory.limit_in_bytes"); limit < 1<<62 {
		u.Limit = limit
	}
	stat = pairs(memory, "memory.stat")
	u.RSS, u.Cache = stat["total_rss"], stat["total_cache"]
	u.MappedFile, u.Swap = stat["total_mapped_file"], stat["total_swap"]
	u.OOMKills = pairs(memory, "memory.oom_control")["oom_kill"]
	u.Processes = number(g.Paths["pids"], "pids.current")
	return u
}

func (g Group) readV2() Usage {
	var u Usage
	dir := g.Paths[""]
	stat := pairs(dir, "cpu.stat")
	u.User = time.Duration(stat["user_usec"]) * time.Microsecond
	u.System = time.Duration(stat["system_usec"]) * time.Microsecond
	u.Periods, u.Throttled = stat["nr_periods"], stat["nr_throttled"]
	u.ThrottledTime = time.Duration(stat["throttled_usec"]) * time.Microsecond
	u.Memory, u.Peak = number(dir, "memory.current"), number(dir, "memory.peak")
	u.Limit = number(dir, "memory.max")
	stat = pairs(dir, "memory.stat")
	u.RSS, u.Cache, u.MappedFile = stat["anon"], stat["file"], stat["file_mapped"]
	u.Swap = number(dir, "memory.swap.current")
	u.OOMKills = pairs(dir, "memory.events")["oom_kill"]
	u.Processes = number(dir, "pids.current")
	return u
}

// Procs returns the processes in the group, threads not counted.
func (g Group) Procs() []int {
	b, err := os.ReadFile(filepath.Join(g.any(), "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for field := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

// Kill sends SIGKILL to everything in the group once.
func (g Group) Kill() {
	if g.V2 && write(g.Paths[""], "cgroup.kill", "1") == nil {
		return
	}
	for _, pid := range g.Procs() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Remove deletes the group's directories; busy is true while processes remain.
func (g Group) Remove() (busy bool, err error) {
	for _, dir := range g.Dirs() {
		e := syscall.Rmdir(dir)
		switch {
		case e == nil, errors.Is(e, syscall.ENOENT):
		case errors.Is(e, syscall.EBUSY):
			busy = true
		default:
			err = fmt.Errorf("remove cgroup %s: %w", dir, e)
		}
	}
	return busy, err
}

// any is a directory that has every process of the group: that of pids or memory
// where there is one, on v2 the only one.
func (g Group) any() string {
	for _, c := range []string{"", "pids", "memory", "freezer", "cpu"} {
		if dir, ok := g.Paths[c]; ok {
			return dir
		}
	}
	return ""
}

func pairs(dir, file string) map[string]uint64 {
	out := map[string]uint64{}
	b, _ := os.ReadFile(filepath.Join(dir, file))
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[key], _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return out
}

func number(dir, file string) uint64 {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n
}
