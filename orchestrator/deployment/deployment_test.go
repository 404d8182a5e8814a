package deployment

import (
	"fmt"
	"testing"

	"agora.dev/agora/orchestrator/instance"
	"pgregory.net/rapid"
)

// TestAReplacementKeepsItsBoundsAndEnds plays a replacement step by step, whatever the order in
// which instances start and stop.
func TestAReplacementKeepsItsBoundsAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "instances")
		spec := Spec{Instances: n, Config: "new", Replace: true,
			MinimumHealth: float64(rapid.IntRange(0, 10).Draw(t, "minimum")) / 10,
			MaximumOver:   float64(rapid.IntRange(0, 10).Draw(t, "over")) / 10}
		before := rapid.IntRange(0, 12).Draw(t, "old")
		var all []*instance.Instance
		for i := range before {
			all = append(all, &instance.Instance{ID: fmt.Sprint("old", i), ConfigVersion: "old", Condition: instance.Running})
		}
		lowest := min(before, int(float64(n)*spec.MinimumHealth))
		for step := 0; ; step++ {
			plan := Next(spec, all)
			if plan.Done {
				break
			}
			if step > 1000 {
				t.Fatalf("does not end: %+v with %d instances", plan, len(all))
			}
			all = apply(t, plan, all, step)
			if healthy(all) < lowest {
				t.Fatalf("%d serve, want at least %d", healthy(all), lowest)
			}
			if most := max(before, n+int(float64(n)*spec.MaximumOver)+1); len(all) > most {
				t.Fatalf("%d instances, want at most %d", len(all), most)
			}
		}
		for _, i := range all {
			if i.ConfigVersion != "new" || i.Condition != instance.Running {
				t.Fatalf("done with %+v", i)
			}
		}
		if len(all) != n {
			t.Fatalf("done with %d instances, want %d", len(all), n)
		}
	})
}

func apply(t *rapid.T, plan Plan, all []*instance.Instance, step int) []*instance.Instance {
	dead := map[string]bool{}
	for _, id := range plan.Kill {
		dead[id] = true
	}
	var next []*instance.Instance
	for _, i := range all {
		if dead[i.ID] {
			continue
		}
		if i.Condition == instance.Staging && rapid.Bool().Draw(t, "starts") || step > 500 {
			i.Condition = instance.Running
		}
		next = append(next, i)
	}
	for n := range plan.Launch {
		next = append(next, &instance.Instance{ID: fmt.Sprint("new", step, "-", n), ConfigVersion: "new", Condition: instance.Staging})
	}
	return next
}

func healthy(all []*instance.Instance) int {
	n := 0
	for _, i := range all {
		if i.Healthy() {
			n++
		}
	}
	return n
}
