package agent

import (
	"os"
	"path/filepath"
	"testing"

	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
)

// TestAPodLeadsItsAgentNowhere: before the second task of a pod is launched, its user has put links in the place of the directories that
// the agent made in the pod's sandbox. The agent, which is root, must neither remove nor make anything there.
func TestAPodLeadsItsAgentNowhere(t *testing.T) {
	work := t.TempDir()
	paths := checkpoint.Paths{Work: work}
	maker := &sandboxMaker{paths: paths, agent: func() string { return "S0" }, claim: func(string) func() { return func() {} }}
	key := core.ExecutorKey{Framework: "f", Executor: "e"}
	launch := func(id containerizer.ID, task core.TaskID) error {
		sandbox := paths.Sandbox("S0", core.Run{Key: key, Container: id.Root()}, id)
		return maker.prepare(t.Context(), core.LaunchContainer{Executor: key, Task: task, Spec: containerizer.Spec{ID: id, Sandbox: sandbox}})
	}
	pod := paths.Sandbox("S0", core.Run{Key: key, Container: "pod"}, "pod")
	for _, l := range []struct {
		id   containerizer.ID
		task core.TaskID
	}{{"pod", ""}, {"pod.one", "one"}} {
		if err := launch(l.id, l.task); err != nil {
			t.Fatal(err)
		}
	}
	if target, err := filepath.EvalSymlinks(filepath.Join(pod, "tasks", "one")); err != nil || target != filepath.Join(pod, "containers", "one") {
		t.Errorf("the sandbox of the first task by its name: %s, %v", target, err)
	}
	for _, place := range []string{"tasks", "containers"} {
		outside := t.TempDir()
		precious := filepath.Join(outside, "two")
		if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(pod, place), filepath.Join(pod, place+".before")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(pod, place)); err != nil {
			t.Fatal(err)
		}
		if err := launch("pod.other", "two"); err == nil {
			t.Errorf("%s: launched behind a link", place)
		}
		text, err := os.ReadFile(precious)
		left, _ := os.ReadDir(outside)
		if err != nil || string(text) != "precious" || len(left) != 1 {
			t.Errorf("%s: outside there are %v, %q, %v", place, left, text, err)
		}
	}
}
