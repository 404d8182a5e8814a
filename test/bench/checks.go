package main

import (
	"fmt"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// firstPort is where the servers of the checks listen: within the agent's ports.
const firstPort = 31000

// checks measures what health checks cost: as many containers as ports allow, each with a
// web server that is asked every second.
func (s *suite) checks() (err error) {
	c, err := startCluster()
	if err != nil {
		return err
	}
	defer c.end(&err)
	if err := c.warm(); err != nil {
		return err
	}
	n := min(*containers, 1000)
	served := 0
	tasks, _, err := c.launchEach(n, func(task *mesos.TaskInfo) {
		port := uint32(firstPort + served)
		served++
		task.Command.Value = ptr("/bin/httpd")
		task.Command.Arguments = []string{"httpd", "-f", "-p", fmt.Sprintf("127.0.0.1:%d", port), "-h", "/"}
		task.HealthCheck = &mesos.HealthCheck{
			Type:         mesos.HealthCheck_HTTP.Enum(),
			Http:         &mesos.HealthCheck_HTTPCheckInfo{Port: &port, Path: ptr("/"), Statuses: []uint32{404}},
			DelaySeconds: ptr(0.0), IntervalSeconds: ptr(1.0),
		}
	})
	if err != nil {
		return err
	}
	if err := c.healthy(n); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // the burst settles
	pids := ours()
	from := cpu(pids)
	time.Sleep(idleFor)
	used := float64(cpu(pids)-from) * tickMillis / float64(idleFor.Milliseconds()) * 100
	s.report(figure{Name: fmt.Sprintf("checks/%d-http-per-second", n), Value: used, Unit: "% of a core", Must: 50, Goal: 15,
		Note: fmt.Sprintf("agent, launcher, master, inits and this client over %s; the asked servers excluded; no floor", idleFor)})
	_, _, err = c.killAll(tasks)
	return err
}

// healthy waits until n tasks have said that they are.
func (c *cluster) healthy(n int) error {
	good := map[string]bool{}
	for len(good) < n {
		status, err := c.update()
		if err != nil {
			return fmt.Errorf("%d of %d tasks healthy: %w", len(good), n, err)
		}
		if status.GetHealthy() {
			good[status.GetTaskId().GetValue()] = true
		}
	}
	return nil
}
