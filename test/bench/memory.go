package main

import (
	"fmt"
	"time"
)

// memory measures P9: what a large cluster costs the master.
func (s *suite) memory() error {
	began := time.Now()
	c, err := startMeasuredMaster(population{Agents: 50_000, Tasks: 20, Frameworks: 50})
	if err != nil {
		return err
	}
	joined := time.Since(began)
	defer c.stop()
	// Reading makes garbage while everything is live, as dashboards do.
	for range 5 {
		if _, _, err := fetchState(plain, c.address); err != nil {
			return err
		}
	}
	peak, err := c.vitals(false)
	if err != nil {
		return err
	}
	settled, err := c.vitals(true)
	if err != nil {
		return err
	}
	const gib = 1 << 20 // KiB
	s.report(figure{Name: "P9/50000x20", Value: settled.ResidentKiB / gib, Unit: "GiB", Must: 6, Goal: 2, Floor: settled.HeapKiB / gib,
		Note: fmt.Sprintf("private memory of the master's process after a collection, %.1f before, %.1f of it stacks; the simulated agents and both ends of their links in memory included, joined in %.0f s; floor: live heap",
			peak.ResidentKiB/gib, settled.StacksKiB/gib, joined.Seconds())})
	s.report(figure{Name: "P9/gc-pause-p99.9", Value: peak.PauseP999, Unit: "ms", Must: 5, Goal: 1,
		Note: fmt.Sprintf("stops of the world while 50,000 agents join and /state is read; %d stops, max %.2f; upper ends of the runtime's buckets; no floor", peak.Pauses, peak.PauseMax)})
	return nil
}
