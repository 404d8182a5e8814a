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
	for _, shape := range []Shape{{10_000, 1_000, false, false}, {20_000, 3_000, false, false}, {20_000, 3_000, true, false}, {20_000, 3_000, false, true}} {
		b.Run(shape.Name(), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(shape.Cycle().Value, "ms/cycle")
			}
		})
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
