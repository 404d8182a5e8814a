package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

const (
	idleFor    = 30 * time.Second // a collection of garbage by chance is a percent of ten
	tickMillis = 10               // USER_HZ is 100 on Linux
)

// density measures P8: what live containers cost when nothing happens.
func (s *suite) density() (err error) {
	c, err := startCluster()
	if err != nil {
		return err
	}
	defer c.end(&err)
	c.holds = true
	if err := c.warm(); err != nil {
		return err
	}
	before := private(ours())
	n := *containers * 5 / 2
	tasks, _, err := c.launch(n)
	if err != nil {
		return err
	}
	if _, err := c.reach(mesos.TaskState_TASK_RUNNING, n); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // the burst settles
	pids := ours()
	each := float64(private(pids)-before) / float64(n)
	saved, err := startProfiles(*profiles, "idle")
	if err != nil {
		return err
	}
	self := []int{os.Getpid()}
	others := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return pid == self[0] })
	from := cpu(others)
	fromSelf := cpu(self) // last, and first below: looking at thousands of processes is not idle
	time.Sleep(idleFor)
	own := idleShare(cpu(self) - fromSelf)
	saved()
	idle := own + idleShare(cpu(others)-from)
	s.report(figure{Name: "P8/live", Value: float64(n), Unit: "containers", Must: 2500, Goal: 10_000, HigherIsBetter: true,
		Note: "real containers; as many as were asked for with -containers, not the most that fit; no floor"})
	s.report(figure{Name: "P8/private-memory", Value: each, Unit: "KiB/container", Must: 1024, Goal: 150,
		Note: fmt.Sprintf("inits, and growth of agent, launcher, master and this client; %d processes of ours; floor 0", len(pids))})
	s.report(figure{Name: "P8/idle-cpu", Value: idle, Unit: "% of a core", Must: 3, Goal: 1,
		Note: fmt.Sprintf("agent, launcher, master, inits and this client over %s, of it all but launcher and inits %.1f; floor 0", idleFor, own)})
	_, _, err = c.killAll(tasks)
	return err
}

// idleShare makes ticks of the idle time a part of a core in percent.
func idleShare(ticks int) float64 {
	return float64(ticks) * tickMillis / float64(idleFor.Milliseconds()) * 100
}

// warm runs one container and ends it, so that what is made once is not counted.
func (c *cluster) warm() error {
	tasks, _, err := c.launch(1)
	if err != nil {
		return err
	}
	if _, err := c.reach(mesos.TaskState_TASK_RUNNING, 1); err != nil {
		return err
	}
	_, _, err = c.killAll(tasks)
	return err
}

// killAll kills tasks and returns how many ended, and how long that took.
func (c *cluster) killAll(tasks []*mesos.TaskInfo) (int, time.Duration, error) {
	start := time.Now()
	for _, task := range tasks {
		if err := c.kill(task); err != nil {
			return 0, 0, err
		}
	}
	ended, err := c.reach(mesos.TaskState_TASK_KILLED, len(tasks))
	return len(tasks), ended.Sub(start), err
}

// ours is this process and those below it, but the tasks' own commands.
func ours() []int {
	parent := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if fields := stat(path); len(fields) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			parent[pid], _ = strconv.Atoi(fields[1])
		}
	}
	var found []int
	for pid := range parent {
		at := pid
		for at > 1 && at != os.Getpid() {
			at = parent[at]
		}
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if at == os.Getpid() && !bytes.HasPrefix(command, []byte("/bin/sleep\x00")) && !bytes.HasPrefix(command, []byte("/bin/httpd\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

// stat returns the fields of a stat file after the name: state, parent and so on.
func stat(path string) []string {
	data, _ := os.ReadFile(path)
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
}

// private sums the private memory of processes in KiB.
func private(pids []int) (sum int) {
	for _, pid := range pids {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "Private_Dirty:" || fields[0] == "Private_Clean:") {
				kib, _ := strconv.Atoi(fields[1])
				sum += kib
			}
		}
	}
	return sum
}

// cpu sums the ticks that processes have used.
func cpu(pids []int) (sum int) {
	for _, pid := range pids {
		if fields := stat(fmt.Sprintf("/proc/%d/stat", pid)); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			sum += user + system
		}
	}
	return sum
}
