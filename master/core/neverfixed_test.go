package core

import (
	"strings"
	"testing"
)

// story runs script lines on prepared, and gives what the last of them did.
func story(t *testing.T, lines ...string) []string {
	t.Helper()
	s := prepared(t)
	var last []string
	for _, line := range lines {
		last = s.run(t, line)
		if err := s.core.CheckInvariants(); err != nil {
			t.Fatalf("after %s: %v", line, err)
		}
		s.core.Snapshot()
	}
	return last
}

func TestMesos10146TaskEndsWhileItsFrameworkIsAway(t *testing.T) {
	got := story(t, "accept 1 m-0000 m-O0 m-S0 t1=cpus:1;mem:32", "close 1", "update 1 m-0000 t1 FINISHED u1",
		"subscribe 2 roles=web failover=60s id=m-0000", `call 2 {"framework_id":{"value":"m-0000"},"type":"RECONCILE","reconcile":{"tasks":[{"task_id":{"value":"t1"}}]}}`)
	if text := strings.Join(got, "\n"); !strings.Contains(text, "to scheduler 2: ") || !strings.Contains(text, "TASK_FINISHED") {
		t.Errorf("got %q", got)
	}
}

func TestMesos10011OperationsOfAStaleAgentAreAnswered(t *testing.T) {
	got := story(t, `call 1 {"framework_id":{"value":"m-0000"},"type":"RECONCILE_OPERATIONS","reconcile_operations":{"operations":[{"operation_id":{"value":"o"},"agent_id":{"value":"m-S99"}}]}}`)
	if text := strings.Join(got, "\n"); !strings.Contains(text, "OPERATION_UNKNOWN") || !strings.Contains(text, "202") {
		t.Errorf("got %q", got)
	}
}
