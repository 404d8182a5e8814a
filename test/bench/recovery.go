package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// restarts is how often an agent is killed for one figure.
const restarts = 7

// recovery measures how soon an agent that was killed has its live containers again.
func (s *suite) recovery() (err error) {
	var d *separate
	c, err := startWith(func(_ context.Context, state string) (_ daemons, err error) {
		d, err = startSeparate(state)
		return d, err
	})
	if err != nil {
		return err
	}
	defer func() {
		if stop := c.stop(); err == nil {
			err = stop
		}
	}()
	n := *containers
	tasks, _, err := c.launch(n)
	if err != nil {
		return err
	}
	if _, err := c.reach(mesos.TaskState_TASK_RUNNING, n); err != nil {
		return err
	}
	floor, err := startOnly(d.command[0])
	if err != nil {
		return err
	}
	var adopted, containers, registered []float64
	used := 0
	for range restarts {
		d.kill()
		began, err := d.start()
		if err != nil {
			return err
		}
		var seen vitalSigns
		ready, err := d.await(began, func(m vitalSigns) bool { seen = m; return int(m.Running) == n && int(m.Executors) == n })
		if err != nil {
			return fmt.Errorf("%.0f of %d tasks recovered: %w", seen.Running, n, err)
		}
		used += cpu([]int{d.agent.Process.Pid})
		again, err := d.await(began, func(m vitalSigns) bool { return m.Registered == 1 })
		if err != nil {
			return err
		}
		adopted, containers, registered = append(adopted, ms(ready)), append(containers, seen.Recovery*1e3), append(registered, ms(again))
	}
	for _, values := range [][]float64{adopted, containers, registered} {
		slices.Sort(values)
	}
	s.report(figure{Name: fmt.Sprintf("recovery/%d-live-p50", n), Value: quantile(adopted, 0.5), Unit: "ms", Must: 500, Goal: 200, Floor: floor,
		Note: fmt.Sprintf("agent killed, launcher stays; from exec to the answer of its API with all tasks; %d restarts, max %.0f; "+
			"processor time %d ms on average; registered again p50 %.0f, max %.0f; floor: exec of this program",
			restarts, adopted[restarts-1], used*tickMillis/restarts, quantile(registered, 0.5), registered[restarts-1])})
	s.report(figure{Name: fmt.Sprintf("recovery/%d-containers-p50", n), Value: quantile(containers, 0.5), Unit: "ms", Must: 500, Goal: 50,
		Note: fmt.Sprintf("of it the containerizer's part (slave/recovery_time_secs), max %.0f; no floor", containers[restarts-1])})
	_, _, err = c.killAll(tasks) // that all are killed shows that all were kept
	return err
}

// startOnly is how long a program of this size takes to start and end, in ms, the median of some.
func startOnly(program string) (float64, error) {
	var took []float64
	for range 9 {
		began := time.Now()
		if err := exec.Command(program, "version").Run(); err != nil {
			return 0, fmt.Errorf("floor: %w", err)
		}
		took = append(took, ms(time.Since(began)))
	}
	slices.Sort(took)
	return quantile(took, 0.5), nil
}
