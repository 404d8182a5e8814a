package linux

import (
	"cmp"
	"slices"
	"time"

	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/perf"
	"golang.org/x/sys/unix"
)

// Perf are the options of the isolator cgroups/perf_event.
type Perf struct {
	// Events are counted for Duration out of every Interval (Mesos --perf_events and its
	// like); 0 means 10 s of 60 s. Without any, nothing is counted.
	Events             []perf.Event
	Interval, Duration time.Duration
}

// counting is a container whose events are counted.
type counting struct {
	box      *box
	counters *perf.Counters
}

// sample counts the events of all containers now and then, until the containerizer is
// closed. A container launched meanwhile has its turn in the next round.
func (c *Containerizer) sample() {
	tick := time.NewTicker(c.config.Isolation.Perf.Interval)
	defer tick.Stop()
	for {
		round := c.beginCounting()
		wait := time.NewTimer(c.config.Isolation.Perf.Duration)
		select {
		case <-wait.C:
		case <-c.closing:
		}
		wait.Stop()
		c.endCounting(round)
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
	}
}

// beginCounting opens the counters of as many containers as half of the agent's descriptors
// suffice for: those first that have waited longest.
func (c *Containerizer) beginCounting() (round []counting) {
	boxes := c.running()
	c.mu.Lock()
	slices.SortStableFunc(boxes, func(a, b *box) int { return cmp.Compare(a.perf.GetTimestamp(), b.perf.GetTimestamp()) })
	c.mu.Unlock()
	left := c.countable()
	for _, b := range boxes {
		c.mu.Lock()
		group, ok := c.group(b.state)
		c.mu.Unlock()
		if !ok {
			continue
		}
		if left--; left < 0 {
			c.log.Warn("events of some containers wait for the next round; raise the limit of open files (LimitNOFILE), or count less", "container", b.id)
			break
		}
		counters, err := perf.Open(group.Dir("perf_event"), c.config.Isolation.Perf.Events)
		if err != nil {
			if group.Exists() {
				c.log.Warn("events of container are not counted", "container", b.id, "error", err)
			}
			continue
		}
		round = append(round, counting{b, counters})
	}
	return round
}

// countable is how many containers can be counted at a time.
func (c *Containerizer) countable() int {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		c.log.Warn("events of containers are not counted", "error", err)
		return 0
	}
	const many = 1 << 30
	return int(min(files.Cur, many)) / 2 / max(perf.Descriptors(c.config.Isolation.Perf.Events), 1)
}

func (c *Containerizer) endCounting(round []counting) {
	for _, one := range round {
		statistics, err := one.counters.Read()
		one.counters.Close()
		if err != nil {
			c.log.Warn("events of container are not counted", "container", one.box.id, "error", err)
			continue
		}
		c.mu.Lock()
		one.box.perf = statistics
		c.mu.Unlock()
	}
}

// samples reports whether events are counted.
func (c *Containerizer) samples() bool {
	return c.config.Isolation.On.Has(isolation.PerfEvent) && len(c.config.Isolation.Perf.Events) > 0
}
