package core_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/core"
)

// TestARestartRewritesNoState restarts an agent with tasks of a built-in executor that run: what is on disk is true
// already, and a thousand files would hold up its return.
func TestARestartRewritesNoState(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{"start", "open", "registered", "run f t1", "launched t1", "ack f t1", "ack f t1",
		"group f ex g1 g2", "launched ex", "launched g1", "launched g2", "crash"} {
		w.do(strings.Fields(line))
	}
	ready := w.core.Step(w.now, core.Recovered{State: &w.disk, Containers: w.found()})
	for _, write := range ready.Persist {
		if _, state := write.(core.WriteExecutorState); state {
			t.Errorf("%T of a state that has not changed", write)
		}
	}
	if runs := w.core.Allocations(); len(runs) != 2 {
		t.Fatalf("%d executors, want 2: %v", len(runs), runs)
	}
}
