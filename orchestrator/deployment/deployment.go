// Package deployment decides what an app's next instances are: which to end, how many to add.
//
// It owns the arithmetic of scaling and of rolling replacement. It promises that, as far as the
// strategy goes, an app never has fewer serving instances than its minimum because of a
// replacement, and never more in all than its maximum. It refuses to remember anything: the same
// instances give the same answer, so that it survives any change of leader.
package deployment

import (
	"math"
	"sort"
	"time"

	"agora.dev/agora/orchestrator/instance"
)

// Spec is what the app wants.
type Spec struct {
	Instances     int
	Config        string // instances of another configuration are old
	MinimumHealth float64
	MaximumOver   float64
	OldestFirst   bool
	// Replace: old ones are to be replaced.
	Replace bool
}

// Plan is what to do now.
type Plan struct {
	Kill   []string
	Launch int
	// Done: nothing is left to do or to wait for.
	Done bool
}

// Next plans. The instances are all of the app that still count: not those to be replaced
// because they are unreachable for too long.
func Next(spec Spec, instances []*instance.Instance) Plan {
	var live, old []*instance.Instance
	ending, healthy, fresh := 0, 0, 0
	for _, i := range instances {
		if i.Decommissioned {
			ending++
			continue
		}
		live = append(live, i)
		isOld := i.ConfigVersion != spec.Config
		if isOld {
			old = append(old, i)
		} else if i.Healthy() {
			fresh++
		}
		if i.Healthy() {
			healthy++
		}
	}
	if !spec.Replace || len(old) == 0 || spec.Instances == 0 {
		plan := Plan{Launch: max(0, spec.Instances-len(live))}
		plan.Kill = pick(live, len(live)-spec.Instances, spec)
		plan.Done = len(live) == spec.Instances && ending == 0 && (fresh == spec.Instances || !spec.Replace)
		return plan
	}
	return replace(spec, live, old, healthy)
}

func replace(spec Spec, live, old []*instance.Instance, healthy int) Plan {
	n := float64(spec.Instances)
	minimum := int(math.Ceil(n * spec.MinimumHealth))
	maximum := int(math.Floor(n * (1 + spec.MaximumOver)))
	if minimum == maximum && maximum <= healthy {
		maximum++ // otherwise nothing could ever move
	}
	// An old one that does not serve is worth nothing; of those that do, what the minimum leaves.
	idle := 0
	for _, i := range old {
		if !i.Healthy() {
			idle++
		}
	}
	excess := max(0, healthy-minimum)
	kill := pick(old, min(len(old), idle+excess), spec)
	remaining := len(live) - len(kill)
	wanted := spec.Instances - (len(live) - len(old))
	return Plan{Kill: kill, Launch: max(0, min(wanted, maximum-remaining))}
}

// rank orders by how little is lost.
func rank(i *instance.Instance) int {
	switch i.Condition {
	case instance.Unreachable:
		return 0
	case instance.Provisioned, instance.Staging:
		return 1
	case instance.Starting:
		return 2
	}
	if !i.Healthy() {
		return 2
	}
	return 3
}

func pick(from []*instance.Instance, n int, spec Spec) []string {
	if n <= 0 {
		return nil
	}
	sorted := append([]*instance.Instance(nil), from...)
	sort.SliceStable(sorted, func(a, b int) bool {
		x, y := sorted[a], sorted[b]
		switch {
		case (x.ConfigVersion != spec.Config) != (y.ConfigVersion != spec.Config):
			return x.ConfigVersion != spec.Config
		case rank(x) != rank(y):
			return rank(x) < rank(y)
		case !since(x).Equal(since(y)):
			return since(x).Before(since(y)) == spec.OldestFirst
		}
		return x.ID < y.ID
	})
	var ids []string
	for _, i := range sorted[:min(n, len(sorted))] {
		ids = append(ids, i.ID)
	}
	return ids
}

func since(i *instance.Instance) time.Time {
	if !i.StartedAt.IsZero() {
		return i.StartedAt
	}
	return i.CreatedAt
}
