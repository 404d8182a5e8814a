package main

import (
	"context"
	"fmt"
	"time"

	"agora.dev/agora/test/bench/tasksload"
)

// tasks measures P1: simulated agents, a real master, real HTTP.
func (s *suite) tasks() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	result, err := tasksload.Run(ctx, tasksload.Config{Agents: 1000, TasksPerAgent: 200})
	if err != nil {
		return err
	}
	s.report(figure{Name: "P1/1000x200", Value: result.PerSecond, Unit: "tasks/s", Must: 10_000, Goal: 33_000, HigherIsBetter: true,
		Note: fmt.Sprintf("agents simulated, no containers; %d tasks in %.1f s; p50 %.0f, p99 %.0f, max %.0f ms; no floor",
			result.Tasks, result.Elapsed.Seconds(), ms(result.P50), ms(result.P99), ms(result.Max))})
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
