// Package perf counts what containers do to a processor: cycles, cache misses, page faults,
// context switches (isolator cgroups/perf_event).
//
// It promises that a counter is that of one control group and all below it, on every
// processor of the machine. It refuses to run the program perf: counters are opened by
// perf_event_open(2), which needs CAP_PERFMON or CAP_SYS_ADMIN.
package perf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	mesos "agora.dev/agora/api/mesos/v1"
	"golang.org/x/sys/unix"
)

// Counters are the open counters of one control group. Close ends them.
type Counters struct {
	events []Event
	fds    [][]int // by event, one for each processor
	began  time.Time
}

// Check reports the first event that this machine does not count, and what to do.
func Check(events []Event) error {
	cpus, err := online()
	if err != nil {
		return err
	}
	for _, e := range events {
		fd, err := open(e, -1, cpus[0], 0)
		if err != nil {
			return fmt.Errorf("--perf_events: %s: %w", e.Name, explain(e, err))
		}
		unix.Close(fd)
	}
	return nil
}

// explain gives a refusal of the kernel its usual cause.
func explain(e Event, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL):
		if e.kind != unix.PERF_TYPE_SOFTWARE {
			return fmt.Errorf("the processor of this machine does not count it (%w), as is usual in virtual machines; leave it out, "+
				"or use events of the kernel as cpu-clock, task-clock, page-faults, context-switches", err)
		}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("the kernel refuses to count (%w); run the agent as root with CAP_PERFMON, and look at kernel.perf_event_paranoid and at lockdown", err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("the kernel is built without CONFIG_PERF_EVENTS (%w)", err)
	}
	return err
}

// Open begins to count the events of the control group at dir: of version 2, or in the
// version 1 hierarchy of perf_event. It takes a descriptor for each event and processor.
func Open(dir string, events []Event) (*Counters, error) {
	group, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	defer group.Close()
	cpus, err := online()
	if err != nil {
		return nil, err
	}
	c := &Counters{events: events, fds: make([][]int, len(events)), began: time.Now()}
	for i, e := range events {
		for _, cpu := range cpus {
			fd, err := open(e, int(group.Fd()), cpu, unix.PERF_FLAG_PID_CGROUP)
			if errors.Is(err, unix.ENODEV) {
				continue // it has been switched off since
			}
			if err != nil {
				c.Close()
				return nil, fmt.Errorf("count %s of %s: %w", e.Name, dir, explain(e, err))
			}
			c.fds[i] = append(c.fds[i], fd)
		}
	}
	return c, nil
}

// Descriptors is how many Open takes.
func Descriptors(events []Event) int {
	cpus, err := online()
	if err != nil {
		return len(events)
	}
	return len(events) * len(cpus)
}

func open(e Event, pid, cpu, flags int) (int, error) {
	attr := unix.PerfEventAttr{Type: uint32(e.kind), Config: e.config,
		Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING}
	attr.Size = uint32(unsafe.Sizeof(attr))
	return unix.PerfEventOpen(&attr, pid, cpu, -1, flags|unix.PERF_FLAG_FD_CLOEXEC)
}

// Read returns what was counted since Open.
func (c *Counters) Read() (*mesos.PerfStatistics, error) {
	out := Empty(c.began)
	took := time.Since(c.began).Seconds()
	out.Duration = &took
	for i, e := range c.events {
		var sum uint64
		for _, fd := range c.fds[i] {
			value, err := read(fd)
			if err != nil {
				return nil, fmt.Errorf("read counter %s: %w", e.Name, err)
			}
			sum += value
		}
		e.set(out, sum)
	}
	return out, nil
}

// Empty are the statistics of a group that nobody has counted yet; at is the time of that.
func Empty(at time.Time) *mesos.PerfStatistics {
	began, none := float64(at.UnixNano())/1e9, 0.0
	return &mesos.PerfStatistics{Timestamp: &began, Duration: &none}
}

func read(fd int) (uint64, error) {
	var buffer [24]byte
	n, err := unix.Read(fd, buffer[:])
	if err != nil {
		return 0, err
	}
	if n != len(buffer) {
		return 0, fmt.Errorf("%d bytes instead of %d", n, len(buffer))
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(buffer[8*i:]) }
	return scale(word(0), word(1), word(2)), nil
}

// scale estimates the count of the whole time from that of the part in which the event had a
// counter of the processor: there are few, and events take turns.
func scale(value, enabled, running uint64) uint64 {
	if running == 0 {
		return 0 // nothing of the group ran
	}
	if running >= enabled {
		return value
	}
	high, low := bits.Mul64(value, enabled)
	if high >= running {
		return value // beyond 64 bits, which no counter reaches
	}
	out, _ := bits.Div64(high, low, running)
	return out
}

// Close ends the counting.
func (c *Counters) Close() {
	for i := range c.fds {
		for _, fd := range c.fds[i] {
			unix.Close(fd)
		}
		c.fds[i] = nil
	}
}

// online are the processors that run.
func online() ([]int, error) {
	b, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	return processors(strings.TrimSpace(string(b)))
}

// processors reads a list as 0-3,8.
func processors(text string) (out []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("processors: %q is no list of them", text)
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
	}
	return out, nil
}
