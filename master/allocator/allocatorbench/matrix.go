package allocatorbench

import (
	"fmt"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// Agents and Frameworks are the sides of the matrix of Mesos's own allocator benchmark.
var (
	Agents     = []int{1_000, 5_000, 10_000, 20_000, 30_000, 50_000}
	Frameworks = []int{1, 50, 100, 200, 500, 1_000, 3_000, 6_000}
)

// Shape is one point of the matrix.
type Shape struct {
	Agents, Frameworks int
	// Quota gives each framework a role of its own, with a guarantee of half of its fair share and a limit of twice of
	// it; otherwise all are in role *.
	Quota  bool
	Random bool // both sorters draw
}

// Matrix is every shape.
func Matrix() (all []Shape) {
	for _, agents := range Agents {
		for _, frameworks := range Frameworks {
			for _, quota := range []bool{false, true} {
				for _, random := range []bool{false, true} {
					all = append(all, Shape{agents, frameworks, quota, random})
				}
			}
		}
	}
	return all
}

// Name is as P2/10000x1000/drf or P2/10000x1000/random/quota.
func (s Shape) Name() string {
	name := fmt.Sprintf("P2/%dx%d/drf", s.Agents, s.Frameworks)
	if s.Random {
		name = fmt.Sprintf("P2/%dx%d/random", s.Agents, s.Frameworks)
	}
	if s.Quota {
		name += "/quota"
	}
	return name
}

// Budget is that of the smallest of the three clusters of the design that is as large; in ms.
func (s Shape) Budget() (must, goal float64) {
	switch {
	case s.Agents <= 10_000 && s.Frameworks <= 1_000:
		return 100, 15
	case s.Agents <= 20_000 && s.Frameworks <= 3_000:
		return 400, 40
	}
	return 1500, 150
}

// cycles is how many full cycles of each shape are measured.
const cycles = 3

// Cycle measures the full allocation cycle: every agent's free resources come back with a refusal for ever, and are offered
// to others.
func (s Shape) Cycle() Figure {
	w, offers := s.world()
	refusal := s.refusal()
	var times []spent
	for range cycles {
		given := len(offers)
		var took spent
		if offers, took = w.step(declined(offers, refusal)); len(offers) == 0 || !s.Quota && (len(offers) != s.Agents || given != s.Agents) {
			panic(fmt.Sprintf("allocator bench: %s: %d offers after %d", s.Name(), len(offers), given))
		}
		times = append(times, took)
	}
	must, goal := s.Budget()
	return figure(s.Name(), "ms", time.Millisecond, times, must, goal)
}

// refusal is for ever, unless there are too few frameworks: the only one cannot be offered again what it refuses for ever.
func (s Shape) refusal() time.Duration {
	if s.Frameworks < 2*cycles {
		return 0
	}
	return forever
}

// world makes the cluster, and everything in it offered.
func (s Shape) world() (*world, []core.AllocatorOffer) {
	role := star
	if s.Quota {
		role = ownRole
	}
	w := newWorld()
	if s.Random {
		w.a = allocator.New(allocator.Config{Seed: 1, RoleSorter: allocator.SortRandom, FrameworkSorter: allocator.SortRandom})
	}
	w.step(frameworks(s.Frameworks, role))
	if s.Quota {
		w.step([]core.AllocatorEvent{core.AllocatorSetQuotas{Quotas: s.quotas()}})
	}
	offers, _ := w.step(agents(s.Agents, s.Frameworks, role))
	return w, offers
}

func ownRole(i int) string { return fmt.Sprintf("role-%04d", i) }

// quotas are half and twice of what each role would have if all had the same.
func (s Shape) quotas() map[string]*quota.QuotaConfig {
	all := map[string]*quota.QuotaConfig{}
	part := float64(s.Agents) / float64(s.Frameworks)
	for i := range s.Frameworks {
		path := ownRole(i)
		guarantees, limits := map[string]*mesos.Value_Scalar{}, map[string]*mesos.Value_Scalar{}
		for name, amount := range map[string]float64{"cpus": 24, "mem": 4096} {
			half, twice := part*amount/2, part*amount*2
			guarantees[name], limits[name] = &mesos.Value_Scalar{Value: &half}, &mesos.Value_Scalar{Value: &twice}
		}
		all[path] = &quota.QuotaConfig{Role: &path, Guarantees: guarantees, Limits: limits}
	}
	return all
}
