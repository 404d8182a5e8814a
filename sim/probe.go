package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// probe lets a new framework subscribe that keeps every offer: what is not used must then be
// on offer, or the allocator and the master's books have lost it (invariant 1).
func (c *checker) probe() {
	w := c.w
	hoarder := newFrameworkNode(w, 99)
	hoarder.wanted, hoarder.hoards = 0, true
	hoarder.connect()
	var missing error
	for end := w.now.Add(2 * time.Minute); w.now.Before(end); {
		w.runUntil(w.now.Add(700 * time.Millisecond))
		if missing = c.notOffered(); missing == nil {
			return
		}
	}
	w.fail("invariant 1, used + offered = total: %w", missing)
}

// notOffered names an agent of which something is neither used nor on offer.
func (c *checker) notOffered() error {
	for agent := range c.w.leader().core.Snapshot().Agents.All() {
		left := map[string]float64{}
		count(left, agent.Total, 1)
		count(left, agent.Used, -1)
		count(left, agent.Offered, -1)
		for _, name := range slices.Sorted(maps.Keys(left)) {
			if math.Abs(left[name]) > 1e-6 {
				return fmt.Errorf("%g %s of %s are lost", left[name], name, agent.Info.GetHostname())
			}
		}
	}
	return nil
}

// count adds scalars, and the sizes of ranges, of what is not reserved: that is not for everybody.
func count(sums map[string]float64, resources []*mesos.Resource, sign float64) {
	for _, r := range resources {
		if len(r.GetReservations()) > 0 {
			continue
		}
		sums[r.GetName()] += sign * r.GetScalar().GetValue()
		for _, ports := range r.GetRanges().GetRange() {
			sums[r.GetName()] += sign * float64(ports.GetEnd()-ports.GetBegin()+1)
		}
	}
}
