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
