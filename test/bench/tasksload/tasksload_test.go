package tasksload

import (
	"context"
	"testing"
	"time"
)

func TestEveryTaskOfALoadIsAcknowledged(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	result, err := Run(ctx, Config{Agents: 5, TasksPerAgent: 40})
	if err != nil {
		t.Fatal(err)
	}
	if result.Tasks != 200 || result.PerSecond <= 0 || result.Max < result.P50 {
		t.Fatalf("got %+v", result)
	}
	t.Logf("%+v", result)
}

func BenchmarkTasks(b *testing.B) {
	for b.Loop() {
		result, err := Run(b.Context(), Config{Agents: 500, TasksPerAgent: 200})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(result.PerSecond, "tasks/s")
		b.ReportMetric(result.P99.Seconds()*1000, "p99-ms")
	}
}
