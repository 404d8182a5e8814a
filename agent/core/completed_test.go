package core_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestWhatIsKeptOfThePastIsBounded runs more tasks than an agent lists, in more frameworks: what is on
// disk is what is listed, before and after a restart.
func TestWhatIsKeptOfThePastIsBounded(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{"start", "open", "registered"} {
		w.do(strings.Fields(line))
	}
	n := 0
	task := func(framework string) {
		n++
		id := fmt.Sprintf("t%d", n)
		for _, line := range []string{"run " + framework + " " + id, "launched " + id, "exit " + id + " status 0",
			"ack " + framework + " " + id, "ack " + framework + " " + id, "ack " + framework + " " + id} {
			w.do(strings.Fields(line))
		}
	}
	listed := func() (executors int) {
		for _, f := range w.core.Snapshot().Completed {
			executors += len(f.Completed)
		}
		return executors
	}
	for range 155 {
		task("pa0")
	}
	if got := listed(); got != 150 || len(w.disk.Completed) != 150 {
		t.Fatalf("155 executors: %d listed and %d on disk, want 150", got, len(w.disk.Completed))
	}
	for i := range 50 {
		task(fmt.Sprintf("pa%d", i+1))
	}
	if got := listed(); got != 50 || len(w.disk.Completed) != 50 {
		t.Fatalf("the first of 51 frameworks is forgotten: %d listed and %d on disk, want 50", got, len(w.disk.Completed))
	}
	for _, line := range []string{"crash", "start"} {
		w.do(strings.Fields(line))
	}
	if got := listed(); got != 50 {
		t.Errorf("after a restart %d are listed, want 50", got)
	}
}

// TestTheTasksOfAnExecutorThatRunsAreBounded has one executor run more tasks than are listed: disk and memory keep the
// newest, before and after restarts.
func TestTheTasksOfAnExecutorThatRunsAreBounded(t *testing.T) {
	w := newWorld(t)
	lines := []string{"start", "open", "registered", "custom f ex keeper", "launched ex", "subscribe f ex"}
	for i := range 450 {
		id := fmt.Sprintf("t%d", i)
		lines = append(lines, "custom f ex "+id, "update f ex "+id+" FINISHED", "ack f "+id)
		if i%100 == 99 {
			lines = append(lines, "crash", "start", "subscribe f ex keeper", "open", "reregistered")
		}
	}
	for _, line := range lines {
		w.do(strings.Fields(line))
		if n := len(w.disk.Frameworks); n > 0 {
			if kept := len(w.disk.Frameworks[0].Executors[0].Completed); kept > 400 {
				t.Fatalf("after %q %d completed tasks are on disk, want 400 at most", line, kept)
			}
		}
	}
	listed := func(when string) {
		tasks := w.core.Snapshot().Frameworks[0].Executors[0].Completed
		if len(tasks) != 200 || tasks[0].GetTaskId().GetValue() != "t250" || tasks[199].GetTaskId().GetValue() != "t449" {
			t.Errorf("%s a restart %d tasks are listed, want t250 to t449", when, len(tasks))
		}
	}
	listed("before")
	w.do([]string{"crash"})
	w.do([]string{"start"})
	listed("after")
}
