package main

import (
	"fmt"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// startFloor is what the machine alone needs for one container, in ms.
func (s *suite) startFloor() float64 {
	return (s.floor["unshare"] + s.floor["overlay"] + s.floor["cgroup"] + s.floor["exec"]) / 1e3
}

// latency measures P7: one container after the other.
func (s *suite) latency() (err error) {
	c, err := startCluster()
	if err != nil {
		return err
	}
	defer c.end(&err)
	var launched, killed []float64
	for i := range 101 {
		tasks, start, err := c.launch(1)
		if err != nil {
			return err
		}
		running, err := c.reach(mesos.TaskState_TASK_RUNNING, 1)
		if err != nil {
			return err
		}
		took := ms(running.Sub(start))
		start = time.Now()
		if err := c.kill(tasks[0]); err != nil {
			return err
		}
		ended, err := c.reach(mesos.TaskState_TASK_KILLED, 1)
		if err != nil {
			return err
		}
		if i > 0 { // the first one warms
			launched, killed = append(launched, took), append(killed, ms(ended.Sub(start)))
		}
	}
	slices.Sort(launched)
	slices.Sort(killed)
	floor := s.startFloor()
	note := fmt.Sprintf("real containers, warm image, 100 one by one, master and agent in one process; max %.1f", launched[99])
	s.report(figure{Name: "P7/running-p50", Value: quantile(launched, 0.5), Unit: "ms", Must: 30, Goal: 5, Floor: floor, Note: note})
	s.report(figure{Name: "P7/running-p99", Value: quantile(launched, 0.99), Unit: "ms", Must: 80, Goal: 15, Floor: floor, Note: note})
	s.report(figure{Name: "P7/killed-p50", Value: quantile(killed, 0.5), Unit: "ms", Must: 20, Goal: 5,
		Note: fmt.Sprintf("grace period 0; p99 %.1f, max %.1f; no floor", quantile(killed, 0.99), killed[99])})
	return nil
}
