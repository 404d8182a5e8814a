package allocatorbench

import (
	"testing"
)

func TestEveryFigureIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("benchmarks are not short")
	}
	Run(true, func(f Figure) {
		t.Logf("%-28s %10.3f %s (worst %.3f, cpu %.3f; must %g, goal %g)", f.Name, f.Value, f.Unit, f.Worst, f.CPU, f.Must, f.Goal)
		if f.Value <= 0 {
			t.Errorf("%s was not measured", f.Name)
		}
	})
}

func BenchmarkCycle(b *testing.B) {
	for _, size := range []Shape{{Agents: 10_000, Frameworks: 1}, {Agents: 10_000, Frameworks: 1_000}, {Agents: 20_000, Frameworks: 3_000}, {Agents: 50_000, Frameworks: 6_000}} {
		for i := range 4 {
			shape := size
			shape.Random, shape.Quota = i%2 == 1, i >= 2
			b.Run(shape.Name(), func(b *testing.B) {
				w, offers := shape.world()
				refusal := shape.refusal()
				b.ResetTimer()
				for range b.N {
					offers, _ = w.step(declined(offers, refusal))
				}
			})
		}
	}
}

func BenchmarkFreed(b *testing.B) {
	for _, quota := range []bool{false, true} {
		shape := Shape{10_000, 1_000, quota, false}
		b.Run(shape.Name(), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(Freed(shape).Value, "ms/p99")
			}
		})
	}
}

func BenchmarkQuota(b *testing.B) {
	for range b.N {
		for _, f := range Quota(3_000) {
			b.ReportMetric(f.Value, f.Name[4:]+"-ms")
		}
	}
}
