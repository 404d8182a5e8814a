package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	mesos "agora.dev/agora/api/mesos/v1"
)

// completedTasks are the tasks of completed executors in /state.
func (s *started) completedTasks(t *testing.T) (tasks []string) {
	t.Helper()
	_, text := s.get(t, "/state")
	type framework struct {
		Done []struct {
			ID    string
			Tasks []struct{ State string } `json:"completed_tasks"`
		} `json:"completed_executors"`
	}
	var state struct {
		Frameworks []framework
		Completed  []framework `json:"completed_frameworks"`
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatalf("/state: %v in %s", err, text)
	}
	for _, f := range append(state.Frameworks, state.Completed...) {
		for _, e := range f.Done {
			tasks = append(tasks, fmt.Sprint(e.ID, e.Tasks))
		}
	}
	return tasks
}

func (s *started) awaitCompleted(t *testing.T, want string) {
	t.Helper()
	err := errors.New("not looked")
	for end := time.Now().Add(patience); err != nil; {
		if got := fmt.Sprint(s.completedTasks(t)); got == want {
			return
		} else if err = fmt.Errorf("completed executors %s, want %s", got, want); time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestCompletedExecutorsAreListedAfterARestartUntilTheirSandboxesGo(t *testing.T) {
	work, machine, m := t.TempDir(), fakecontainers.New(), newMaster(t)
	first := start(t, work, machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	spec, err := machine.Await(t.Context(), func(s containerizer.Spec) bool { return s.Env["MESOS_EXECUTOR_ID"] == "t1" })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spec.Sandbox, "stdout"), []byte("last words"), 0o644); err != nil {
		t.Fatal(err)
	}
	machine.End(spec.ID, 7<<8)
	m.update("t1", mesos.TaskState_TASK_FAILED)
	const listed = "[t1[{TASK_FAILED}]]"
	first.awaitCompleted(t, listed)
	for end := time.Now().Add(patience); len(first.box.Entries()) == 0 && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	if got := first.box.Entries(); len(got) != 1 || got[0].Task != "t1" || !got[0].Failed || got[0].Cause != "Command exited with status 7" || got[0].Started.IsZero() {
		t.Errorf("black box: %+v", got)
	}
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		left, err := filepath.Glob(filepath.Join(work, "meta", "removed", "*"))
		if err == nil && len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("records that count no more stay on disk: %v %v", left, err)
		}
	}
	_, text, _ := net.SplitHostPort(first.Address())
	var port int
	fmt.Sscan(text, &port)
	first.stop()

	second := start(t, work, machine, m, port)
	if r := m.reregister(); len(r.GetCompletedFrameworks()) != 1 || len(r.GetCompletedFrameworks()[0].GetTasks()) != 1 {
		t.Errorf("reregistered with completed %v", r.GetCompletedFrameworks())
	}
	second.awaitCompleted(t, listed)
	if code, body := second.get(t, "/files/read?offset=0&path="+url.QueryEscape(filepath.Join(spec.Sandbox, "stdout"))); code != 200 || !strings.Contains(body, "last words") {
		t.Errorf("read its output: %d %s", code, body)
	}
	if _, body := second.call(t, "/api/v1", "", `{"type":"GET_FRAMEWORKS"}`); !strings.Contains(body, `"completed_frameworks":[{"framework_info"`) {
		t.Errorf("GET_FRAMEWORKS: %s", body)
	}
	second.stop()

	if err := os.RemoveAll(spec.Sandbox); err != nil {
		t.Fatal(err)
	}
	third := start(t, work, machine, m, port)
	m.reregister()
	third.awaitCompleted(t, "[]")
	if code, body := third.get(t, "/files/read?offset=0&path=/postmortem/frameworks/f/tasks/t1/stdout"); code != 200 || !strings.Contains(body, "last words") {
		t.Errorf("read its last output after its sandbox: %d %s", code, body)
	}
	third.stop()
	if left, err := filepath.Glob(filepath.Join(work, "meta", "slaves", "*", "completed", "*")); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v %v", left, err)
	}
}
