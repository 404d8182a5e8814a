package remote_test

import (
	"testing"

	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launchtrace"
)

func TestStepsOfTheLauncherReachTheAgent(t *testing.T) {
	r := launchertest.NewRig(t, open)
	before := launchtrace.Now()
	trace := launchtrace.New(before)
	if _, err := r.Start(launchtrace.With(r.Context(), trace), r.Request("traced", "exit 0")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(r.Context(), r.Request("plain", "exit 0")); err != nil {
		t.Fatal(err)
	}
	steps := trace.Durations()
	if len(steps) < 10 || steps[0].Step != launchtrace.Call || steps[len(steps)-1].Step != launchtrace.Answer {
		t.Errorf("steps: %v", steps)
	}
	for _, m := range trace.Marks() { // two processes, one clock
		if m.At < before || m.At > launchtrace.Now() {
			t.Errorf("%s at %d, begun at %d", m.Step, m.At, before)
		}
	}
}
