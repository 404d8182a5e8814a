package master

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/master/core"
)

// BenchmarkMetricsOfFrameworks is one answer for as many frameworks as the largest of Mesos's own benchmarks has.
func BenchmarkMetricsOfFrameworks(b *testing.B) {
	var frameworks []*core.Framework
	for i := range 6000 {
		frameworks = append(frameworks, &core.Framework{ID: core.FrameworkID(fmt.Sprintf("790b0a89-a200-4118-824d-de5daf9c3b76-%04d", i)),
			FirstName: fmt.Sprintf("framework %d", i), Info: &mesos.FrameworkInfo{Roles: []string{"role"}}})
	}
	snapshot := &core.Snapshot{Frameworks: core.ViewOf(frameworks)}
	families, err := MetricFamilies()
	if err != nil {
		b.Fatal(err)
	}
	r := metrics.New()
	r.Register(func(_ context.Context, emit func(string, float64)) { frameworkFigures(snapshot, tally{}, emit) })
	b.Run("collect", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer() // the pause after a round is no work
			fresh := metrics.New()
			fresh.Register(func(_ context.Context, emit func(string, float64)) { frameworkFigures(snapshot, tally{}, emit) })
			b.StartTimer()
			fresh.Collect(b.Context())
		}
	})
	all := r.Collect(b.Context())
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(int64(len(all.AppendJSON(nil))))
		}
	})
	b.Run("prometheus", func(b *testing.B) {
		for b.Loop() {
			var out bytes.Buffer
			if err := all.Prometheus(&out, families); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(out.Len()))
		}
	})
}
