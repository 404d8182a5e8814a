package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// post is what agora postmortem -o json prints.
type post struct {
	Cause, Stdout, Stderr string
	Failed                bool
	CPUSeconds            float64 `json:"cpu_seconds"`
	Peak                  uint64  `json:"peak_memory_bytes"`
}

func (c *cluster) postmortem(task string) (p post) {
	c.t.Helper()
	eventually(c.t, "the record of "+task, 10*time.Second, func() error {
		code, out, errOut := c.agora("postmortem", task, "-o", "json")
		if code != 0 {
			return errors.New(out + errOut)
		}
		return json.Unmarshal([]byte(out), &p)
	})
	return p
}

func TestTheLastWordsOfATaskOutliveSandboxAndAgent(t *testing.T) {
	c := startCluster(t)
	p := c.run("doomed", "echo working; echo no more >&2; for i in $(seq 100000); do :; done; while ! test -e stop; do sleep 0.1; done; exit 3")
	if code, _, errOut := c.agora("postmortem", "doomed"); code == 0 || !strings.Contains(errOut, "ended task") {
		t.Errorf("of a running task: exit %d, %s", code, errOut)
	}
	sandboxes := filepath.Join(c.agentDir, "slaves", "*", "frameworks", "*", "executors", "*", "runs", "*-*")
	dirs, err := filepath.Glob(sandboxes)
	if err != nil || len(dirs) != 1 {
		t.Fatalf("sandboxes %q, %v", dirs, err)
	}
	if err := os.WriteFile(filepath.Join(dirs[0], "stop"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.exits(p, 3)
	check := func() {
		t.Helper()
		got := c.postmortem("doomed")
		if got.Cause != "Command exited with status 3" || !got.Failed || got.Stdout != "working\n" || got.Stderr != "no more\n" {
			t.Errorf("got %+v", got)
		}
		if got.CPUSeconds <= 0 || got.Peak == 0 {
			t.Errorf("%g s of CPU, %d bytes", got.CPUSeconds, got.Peak)
		}
	}
	check()
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	c.agent.stop(syscall.SIGTERM)
	c.startAgent()
	check()
	if _, out, _ := c.agora("postmortem", "doomed"); !strings.Contains(out, "--- the end of stderr\nno more\n") {
		t.Errorf("for people: %s", out)
	}
}
