package linux

import (
	"time"

	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/perf"
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

func (c *Containerizer) beginCounting() (round []counting) {
	for _, b := range c.running() {
		group, ok := c.group(b.state)
		if !ok {
			continue
		}
		counters, err := perf.Open(group.Dir("perf_event"), c.config.Isolation.Perf.Events)
		if err != nil {
			// It may have ended meanwhile, or the descriptors do not suffice for all.
			c.log.Warn("events of container are not counted", "container", b.id, "error", err)
			continue
		}
		round = append(round, counting{b, counters})
	}
	return round
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
