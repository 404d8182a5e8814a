package main

import (
	"flag"
	"fmt"

	mesos "agora.dev/agora/api/mesos/v1"
)

// containers is the number of containers of P6 and P8.
var containers = flag.Int("containers", 1000, "containers of P6; P8 takes 2.5 times as many")

// burst measures P6: all containers in one ACCEPT, then all killed.
func (s *suite) burst() (err error) {
	c, err := startCluster()
	if err != nil {
		return err
	}
	defer c.end(&err)
	n := *containers
	tasks, start, err := c.launch(n)
	if err != nil {
		return err
	}
	running, err := c.reach(mesos.TaskState_TASK_RUNNING, n)
	if err != nil {
		return err
	}
	floor := s.startFloor() * float64(n) / 2 / 1e3
	s.report(figure{Name: fmt.Sprintf("P6/%d-launched", n), Value: running.Sub(start).Seconds(), Unit: "s", Must: 15, Goal: 3, Floor: floor,
		Note: "real containers, one ACCEPT to the last TASK_RUNNING; master and agent in one process; floor on 2 cores"})
	ended, took, err := c.killAll(tasks)
	if err != nil {
		return err
	}
	s.report(figure{Name: fmt.Sprintf("P6/%d-destroyed", ended), Value: took.Seconds(), Unit: "s", Must: 11, Goal: 2,
		Note: "first KILL to the last TASK_KILLED, grace period 0; no floor"})
	return nil
}
