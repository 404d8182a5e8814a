package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheClusterIsLookedAtFromTheCommandLine(t *testing.T) {
	d := startDev(t)
	events := start(t, "agora events", "--master", d.master, "events")
	eventually(t, "the event stream begins", 20*time.Second, func() error {
		if !strings.Contains(events.output(), "subscribed: 1 agents") {
			return errors.New(events.output())
		}
		return nil
	})
	if code, _, errOut := d.agora(t, "run", "-d", "--name", "web", "-p", "0", "builtin/demo"); code != 0 {
		t.Fatalf("run -d: exit %d: %s", code, errOut)
	}
	task := d.running(t, "web", 1)[0]
	eventually(t, "the task's start is told", 20*time.Second, func() error {
		if want := "task " + task.ID + ": TASK_RUNNING"; !strings.Contains(events.output(), want) {
			return fmt.Errorf("no %q in %s", want, events.output())
		}
		return nil
	})
	events.stop(syscall.SIGTERM)

	var frameworks []struct {
		ID, Name, State string
		Tasks           int
	}
	d.table(t, &frameworks, "framework", "ls")
	if len(frameworks) != 1 || frameworks[0].Name != "marathon" || frameworks[0].State != "active" || frameworks[0].Tasks != 1 {
		t.Errorf("framework ls: %+v", frameworks)
	}
	var offers []struct{ ID string }
	d.table(t, &offers, "offer", "ls")

	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"api", "GET", "/version"}, 0, `"version": "1.11.0"`},
		{[]string{"api", "GET_AGENTS"}, 0, `"hostname": "agent1"`},
		{[]string{"api", "get-health"}, 0, `"healthy": true`},
		{[]string{"api", "GET", "/no/such/path"}, 1, "404"},
		{[]string{"api", "TEARDOWN", "--data", "{"}, 2, "not JSON"},
		{[]string{"api", "TEARDOWN", "--data", `{"framework_id":{"value":"nobody"}}`}, 1, "400"},
		{[]string{"framework", "teardown", "nobody"}, 3, "nobody"},
		{[]string{"framework"}, 2, "teardown"},
	} {
		if code, out, errOut := d.agora(t, test.args...); code != test.code || !strings.Contains(out+errOut, test.text) {
			t.Errorf("agora %q: exit %d, %s%s; want %d and %q", test.args, code, out, errOut, test.code, test.text)
		}
	}
}

// table runs a command with -o json and reads what it prints.
func (d *dev) table(t *testing.T, into any, args ...string) {
	t.Helper()
	code, out, errOut := d.agora(t, append(args, "-o", "json")...)
	if code != 0 {
		t.Fatalf("agora %q: exit %d: %s", args, code, errOut)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("agora %q: %v in %s", args, err, out)
	}
}
