package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/vfs"
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
	defer c.end(&err)
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

// The past of an agent: what it lists of completed executors, within Mesos's bounds (50 frameworks, 150 executors
// each, 200 tasks each).
const (
	pastFrameworks = 50
	pastExecutors  = 100
	pastTasks      = 20
)

// past measures how an agent starts that has completed 100,000 tasks.
func (s *suite) past() (err error) {
	dir, err := os.MkdirTemp("", "agora-bench")
	if err != nil {
		return err
	}
	defer func() {
		if rm := os.RemoveAll(dir); err == nil {
			err = rm
		}
	}()
	d, err := startSeparate(dir)
	if err != nil {
		return err
	}
	defer func() {
		if stop := d.Stop(); err == nil {
			err = stop
		}
	}()
	anything := func(vitalSigns) bool { return true }
	joined := func(m vitalSigns) bool { return m.Registered == 1 }
	if _, err := d.await(time.Now(), joined); err != nil {
		return err
	}
	empty := private([]int{d.agent.Process.Pid})
	d.kill()
	if err := writePast(checkpoint.Paths{Work: filepath.Join(dir, "agent")}); err != nil {
		return err
	}
	var answered []float64
	for i := range restarts {
		if i > 0 {
			d.kill()
		}
		began, err := d.start()
		if err != nil {
			return err
		}
		ready, err := d.await(began, anything)
		if err != nil {
			return err
		}
		answered = append(answered, ms(ready))
	}
	if _, err := d.await(time.Now(), joined); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // the start settles
	held := private([]int{d.agent.Process.Pid})
	n := pastFrameworks * pastExecutors * pastTasks
	if have, err := d.completed(); err != nil || have != n {
		return fmt.Errorf("%d of %d tasks are listed: %w", have, n, err)
	}
	slices.Sort(answered)
	s.report(figure{Name: fmt.Sprintf("recovery/%d-completed-p50", n), Value: quantile(answered, 0.5), Unit: "ms", Must: 5000, Goal: 2000,
		Note: fmt.Sprintf("tasks of %d executors, no containers; from exec to the answer of its API; %d restarts, max %.0f; no floor",
			pastFrameworks*pastExecutors, restarts, answered[restarts-1])})
	s.report(figure{Name: fmt.Sprintf("recovery/%d-completed-memory", n), Value: float64(held-empty) / 1024, Unit: "MiB", Must: 600, Goal: 200,
		Note: fmt.Sprintf("private memory of the agent 3 s after it registered, beyond the %d MiB of one without a past; peak with one /state of them all %d MiB",
			empty>>10, peak(d.agent.Process.Pid)>>10)})
	return nil
}

// writePast leaves what an agent that has run so many tasks has on disk, sandboxes included.
func writePast(paths checkpoint.Paths) error {
	store := checkpoint.New(vfs.OS{}, paths)
	state, _, err := store.Recover(checkpoint.Options{})
	if err != nil {
		return err
	}
	if err := store.Apply(core.WriteAgent{Info: state.Agent}); err != nil {
		return err
	}
	at := time.Now()
	for f := range pastFrameworks {
		framework := &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("past"), Id: &mesos.FrameworkID{Value: ptr(fmt.Sprintf("past-%d", f))}}
		for e := range pastExecutors {
			id := fmt.Sprintf("executor-%d", e)
			run := core.Run{Key: core.ExecutorKey{Framework: core.FrameworkID(framework.GetId().GetValue()), Executor: core.ExecutorID(id)},
				Container: containerizer.ID(fmt.Sprintf("past-%d-%d", f, e))}
			done := &core.CompletedExecutor{Run: run, Kind: core.Custom, Framework: framework, At: at.Add(time.Duration(e)),
				Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: &id}, Command: &mesos.CommandInfo{Value: ptr("/usr/bin/executor --verbose")}}}
			for t := range pastTasks {
				done.Tasks = append(done.Tasks, ended(fmt.Sprintf("task-%d-%d-%d", f, e, t), state.Agent.GetId(), done))
			}
			if err := store.Apply(core.WriteCompleted{Completed: done}); err != nil {
				return err
			}
			if err := os.MkdirAll(paths.Sandbox(state.Agent.GetId().GetValue(), run, run.Container), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// ended is a task that has run and finished.
func ended(id string, agent *mesos.AgentID, of *core.CompletedExecutor) *mesos.Task {
	info := task(id, agent)
	t := &mesos.Task{Name: info.Name, TaskId: info.TaskId, FrameworkId: of.Framework.Id, ExecutorId: of.Info.ExecutorId, AgentId: agent,
		Resources: info.Resources, Container: info.Container, State: mesos.TaskState_TASK_FINISHED.Enum()}
	for i, state := range []mesos.TaskState{mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_FINISHED} {
		t.Statuses = append(t.Statuses, &mesos.TaskStatus{TaskId: info.TaskId, State: &state, AgentId: agent, ExecutorId: of.Info.ExecutorId,
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Timestamp: ptr(1.8e9 + float64(i)), Uuid: []byte(fmt.Sprintf("%016.16s", id)),
			ContainerStatus: &mesos.ContainerStatus{ContainerId: &mesos.ContainerID{Value: ptr(string(of.Run.Container))}}})
	}
	return t
}

// peak is the most memory that a process has had, in KiB.
func peak(pid int) (kib int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, _ = strconv.Atoi(fields[1])
		}
	}
	return kib
}
