package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/devcluster"
	"agora.dev/agora/internal/autogroup"
)

// hostile are containers that take what they can. What they write is bounded: the disk is everybody's.
var hostile = []struct{ name, script string }{
	{"forks", `bomb() { bomb | bomb & }; bomb; sleep 100000`},
	{"hogs-memory", `while :; do busybox dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; done`},
	{"fills-disk", `while :; do busybox dd if=/dev/zero of=/mnt/mesos/sandbox/fill bs=1M count=256 2>/dev/null; done`},
	{"makes-files", `cd /mnt/mesos/sandbox; i=0; while :; do i=$((i % 20000 + 1)); : > f$i; done`},
	{"floods-log", `exec busybox yes it is a flood of lines that nobody reads`},
	{"keeps-zombies", `(while :; do (exit 0) & done) & exec sleep 100000`},
	{"ignores-signals", `trap '' TERM INT HUP QUIT; while :; do :; done`},
}

// Rounds without and with the hostile, and what is measured in each.
const (
	neighbourRounds   = 3
	neighbourLaunches = 70
	callsPerLaunch    = 15
)

// asked is what the agent's users felt: ms of cheap calls and of launches, and these launches step by step.
type asked struct {
	calls, launches []float64
	steps           []map[string]float64
}

// neighbours measures reliability F14: what hostile containers do to the agent's answers, in rounds without and with
// them.
func (s *suite) neighbours() (err error) {
	log := newLaunchLog()
	c, err := startLoggedCluster(slog.New(log))
	if err != nil {
		return err
	}
	defer c.end(&err)
	c.holds = true
	behind, err := goBeforeOthers()
	if err != nil {
		return err
	}
	defer behind()
	if err := c.warm(); err != nil {
		return err
	}
	var quiet, loud asked
	n := &neighbourhood{cluster: c, agent: c.daemons.(*devcluster.Cluster).Agents()[0].Addr, running: map[string]*mesos.TaskInfo{}, log: log}
	for range neighbourRounds {
		if err := n.measure(&quiet); err != nil {
			return fmt.Errorf("without neighbours: %w", err)
		}
		if err := n.moveIn(); err != nil {
			return err
		}
		if err := n.measure(&loud); err != nil {
			return fmt.Errorf("beside hostile neighbours: %w", err)
		}
		if err := n.moveOut(); err != nil {
			return err
		}
	}
	s.beside("call", "GET_AGENT of the agent", quiet.calls, loud.calls, n.ended)
	s.late(quiet, loud)
	s.beside("launch", "ACCEPT to TASK_RUNNING", quiet.launches, loud.launches, n.ended)
	return nil
}

// goBeforeOthers does for this process, in which the agent is, what an agent does that leads its session. What it returns
// takes it back. Kernels without such groups of sessions have nothing to raise.
func goBeforeOthers() (end func(), err error) {
	err = os.WriteFile(autogroup.File, []byte(autogroup.Nice), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	return func() { _ = os.WriteFile(autogroup.File, []byte("0"), 0) }, err
}

// Of the late launches, the slowest twentieth, the longest steps are told.
const (
	lateShare = 20
	lateSteps = 6
)

// late says where the launches wait that are late.
func (s *suite) late(quiet, loud asked) {
	slow, all, before := meanSteps(loud.slowest(len(loud.steps)/lateShare)), meanSteps(loud.steps), meanSteps(quiet.slowest(len(quiet.steps)/lateShare))
	steps := slices.SortedFunc(maps.Keys(slow), func(a, b string) int { return cmp.Compare(slow[b], slow[a]) })
	for _, step := range steps[:min(lateSteps, len(steps))] {
		s.report(figure{Name: "F14/late/" + step, Value: slow[step], Unit: "ms",
			Note: fmt.Sprintf("mean of the slowest %d of %d launches beside hostile containers; %.2f of all of them; %.2f of as many without", len(loud.steps)/lateShare, len(loud.steps), all[step], before[step])})
	}
}

// slowest are the steps of that many launches.
func (a asked) slowest(count int) []map[string]float64 {
	order := make([]int, len(a.steps))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(a.launches[j], a.launches[i]) })
	var out []map[string]float64
	for _, i := range order[:min(count, len(order))] {
		out = append(out, a.steps[i])
	}
	return out
}

// meanSteps are means in ms by step.
func meanSteps(launches []map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for _, each := range launches {
		for step, took := range each {
			out[step] += took / float64(len(launches))
		}
	}
	return out
}

func (s *suite) beside(name, what string, quiet, loud []float64, ended int) {
	quiet, loud = slices.Sorted(slices.Values(quiet)), slices.Sorted(slices.Values(loud))
	before, beside := quantile(quiet, 0.99), quantile(loud, 0.99)
	s.report(figure{Name: "F14/" + name + "-p99", Value: beside / before, Unit: "times without", Must: 2,
		Note: fmt.Sprintf("%s beside %d hostile containers, %d rounds: p50 %.2f, p99 %.2f, max %.2f ms; without: p50 %.2f, p99 %.2f, max %.2f ms; %d of each; %d times one was ended by its memory limit, and started again",
			what, len(hostile), neighbourRounds, quantile(loud, 0.5), beside, loud[len(loud)-1], quantile(quiet, 0.5), before, quiet[len(quiet)-1], len(loud), ended)})
}

// neighbourhood is a cluster with hostile containers.
type neighbourhood struct {
	*cluster
	agent   string                     // its address
	running map[string]*mesos.TaskInfo // the hostile, by task
	ended   int                        // how many were ended by their memory limit
	again   []string                   // have to be started once more
	log     *launchLog
}

// steps are those of the launch that has just been seen, in ms.
func (n *neighbourhood) steps(start, running time.Time) map[string]float64 {
	one := <-n.log.launched
	for one.ended.Before(start) { // a hostile one's, told late
		one = <-n.log.launched
	}
	out := map[string]float64{"accepted": ms(one.ended.Add(-one.took).Sub(start)), "seen": ms(running.Sub(one.ended))}
	for _, step := range one.steps {
		out[step.Key] = ms(step.Value.Duration())
	}
	return out
}

// measure launches containers, one after the other, and asks the agent in between.
func (n *neighbourhood) measure(into *asked) error {
	for range neighbourLaunches {
		for len(n.again) > 0 {
			name := n.again[0]
			n.again = n.again[1:]
			if err := n.launchHostile(name); err != nil {
				return err
			}
		}
		n.log.drain()
		tasks, start, err := n.launch(1)
		if err != nil {
			return err
		}
		running, err := n.await(tasks[0], mesos.TaskState_TASK_RUNNING)
		if err != nil {
			return err
		}
		into.launches, into.steps = append(into.launches, ms(running.Sub(start))), append(into.steps, n.steps(start, running))
		for range callsPerLaunch {
			took, err := n.ask()
			if err != nil {
				return err
			}
			into.calls = append(into.calls, ms(took))
		}
		if err := n.kill(tasks[0]); err != nil {
			return err
		}
		if _, err := n.await(tasks[0], mesos.TaskState_TASK_KILLED); err != nil {
			return err
		}
	}
	return nil
}

// ask makes a cheap call, which the agent's core answers.
func (n *neighbourhood) ask() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(n.ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.agent+"/api/v1", bytes.NewReader([]byte(`{"type":"GET_AGENT"}`)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	start := time.Now()
	response, err := plain.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("agent: %s", response.Status)
	}
	return time.Since(start), err
}

// moveIn starts the hostile, and waits until all are at work.
func (n *neighbourhood) moveIn() error {
	for _, h := range hostile {
		if err := n.launchHostile(h.name); err != nil {
			return fmt.Errorf("hostile %s: %w", h.name, err)
		}
	}
	time.Sleep(2 * time.Second) // each has taken what it can
	return nil
}

func (n *neighbourhood) launchHostile(name string) error {
	at := slices.IndexFunc(hostile, func(h struct{ name, script string }) bool { return h.name == name })
	tasks, _, err := n.launchEach(1, func(task *mesos.TaskInfo) {
		task.Name, task.Resources[1].Scalar.Value = &name, ptr(64.0)
		task.Command.Value, task.Command.Arguments = ptr("/bin/sh"), []string{"sh", "-c", hostile[at].script}
		task.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{
			{Name: ptr("CONTAINER_LOGGER_MAX_STDOUT_SIZE"), Value: ptr("10MB")}}}
	})
	if err != nil {
		return err
	}
	n.running[tasks[0].GetTaskId().GetValue()] = tasks[0]
	if _, err = n.await(tasks[0], mesos.TaskState_TASK_RUNNING); errors.Is(err, errLimited) {
		return nil // so soon
	}
	return err
}

// moveOut kills the hostile.
func (n *neighbourhood) moveOut() error {
	for _, task := range n.running {
		if err := n.kill(task); err != nil {
			return err
		}
	}
	for len(n.running) > 0 {
		if _, err := n.next(); err != nil {
			return fmt.Errorf("%d hostile containers do not end: %w", len(n.running), err)
		}
	}
	n.again = nil
	return nil
}

var errLimited = errors.New("ended by its memory limit")

// await waits for a state of a task; the hostile are minded meanwhile.
func (n *neighbourhood) await(task *mesos.TaskInfo, state mesos.TaskState) (time.Time, error) {
	for {
		status, err := n.next()
		at := time.Now()
		if err != nil {
			return at, fmt.Errorf("task %s is not %s: %w", task.GetTaskId().GetValue(), state, err)
		}
		if status.GetTaskId().GetValue() != task.GetTaskId().GetValue() {
			continue
		}
		if status.GetState() == state {
			return at, nil
		}
		if status.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
			return at, errLimited
		}
		if terminal(status.GetState()) {
			return at, fmt.Errorf("task %s: %s: %s", task.GetTaskId().GetValue(), status.GetState(), status.GetMessage())
		}
	}
}

// next is the next update. A hostile one may only end by being killed, or by its limit; then it is started again.
func (n *neighbourhood) next() (*mesos.TaskStatus, error) {
	status, err := n.update()
	if err != nil {
		return nil, err
	}
	id := status.GetTaskId().GetValue()
	task, known := n.running[id]
	if !known || !terminal(status.GetState()) {
		return status, nil
	}
	delete(n.running, id)
	limited := status.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY
	switch {
	case limited:
		n.ended, n.again = n.ended+1, append(n.again, task.GetName())
	case status.GetState() != mesos.TaskState_TASK_KILLED:
		return nil, fmt.Errorf("hostile %s ended: %s: %s", task.GetName(), status.GetState(), status.GetMessage())
	}
	return status, nil
}

func terminal(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLING:
		return false
	}
	return true
}
