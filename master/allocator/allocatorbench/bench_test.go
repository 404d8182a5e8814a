package allocatorbench

import (
	"testing"
)

func TestEveryFigureIsMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("benchmarks are not short")
	}
	for _, f := range Run(true) {
		t.Logf("%-24s %10.3f %s (worst %.3f; must %g, goal %g)", f.Name, f.Value, f.Unit, f.Worst, f.Must, f.Goal)
		if f.Value <= 0 {
			t.Errorf("%s was not measured", f.Name)
		}
	}
}

func BenchmarkCycle(b *testing.B) {
	for range b.N {
		b.ReportMetric(Cycle(20_000, 3_000, 400, 40).Value, "ms/cycle")
	}
}

func BenchmarkLargestCycle(b *testing.B) {
	for range b.N {
		b.ReportMetric(Cycle(50_000, 6_000, 1500, 150).Value, "ms/cycle")
	}
}

func BenchmarkFreed(b *testing.B) {
	for range b.N {
		b.ReportMetric(Freed(10_000, 1_000).Value, "ms/p99")
	}
}

func BenchmarkQuota(b *testing.B) {
	for range b.N {
		for _, f := range Quota(3_000) {
			b.ReportMetric(f.Value, f.Name[4:]+"-ms")
		}
	}
}
