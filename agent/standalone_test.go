package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	mesos "agora.dev/agora/api/mesos/v1"
)

// expect makes calls in order: each pair is a body, and the status with a part of the answer.
func (a *started) expect(t *testing.T, calls ...[2]string) {
	t.Helper()
	for _, call := range calls {
		code, got := a.call(t, "/api/v1", "", call[0])
		wantCode, want, _ := strings.Cut(call[1], " ")
		if wantCode != strconv.Itoa(code) || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s; want %s", call[0], code, got, call[1])
		}
	}
}

// The answers are those of golden/agent-nested, and of golden/crashes without the crash.
func TestStandaloneContainerOutlivesTheAgent(t *testing.T) {
	work, machine, m := t.TempDir(), fakecontainers.New(), newMaster(t)
	a := start(t, work, machine, m, 0)
	m.register()
	const id = `{"container_id":{"value":"standalone-1"}}`
	const launch = `{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"standalone-1"},"command":{"value":"sleep 2"},` +
		`"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}}]}}`
	a.expect(t, [][2]string{
		{`{"type":"REMOVE_CONTAINER","remove_container":{"container_id":{"value":"nope"}}}`, "404 Container nope cannot be found"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"a/b"},"command":{"value":"x"}}}`, "400 invalid characters"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"bad"},"command":{"value":"no such command"}}}`, "400 command not found"},
		{launch, "200 "}, {launch, "202 "},
		{`{"type":"GET_CONTAINERS","get_containers":{"show_standalone":true}}`, `200 "value":"standalone-1"`},
		{`{"type":"GET_CONTAINERS","get_containers":{}}`, `200 "get_containers":{}`},
		{`{"type":"LIST_FILES","list_files":{"path":"` + filepath.Join(work, "containers", "standalone-1") + `"}}`, `200 "list_files"`},
		{`{"type":"REMOVE_CONTAINER","remove_container":` + id + `}`, "500 Nested container has not terminated yet"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"child","parent":{"value":"standalone-1"}},"command":{"value":"y"}}}`, "200 "},
		{`{"type":"GET_CONTAINERS","get_containers":{"show_nested":true}}`, `200 "value":"child"`},
	}...)
	if _, err := os.Stat(filepath.Join(work, "containers", "bad")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a container that was not launched left a sandbox: %v", err)
	}
	a.stop()
	a = start(t, work, machine, m, a.config.Port)
	m.reregister()
	a.expect(t, [][2]string{
		{launch, "202 "},
		{`{"type":"KILL_CONTAINER","kill_container":` + id + `}`, "200 "},
		{`{"type":"WAIT_CONTAINER","wait_container":` + id + `}`, `200 "exit_status":9`},
		{`{"type":"REMOVE_CONTAINER","remove_container":` + id + `}`, "200 "},
		{`{"type":"WAIT_CONTAINER","wait_container":` + id + `}`, "404 Container standalone-1 cannot be found"},
	}...)
	if left, _ := os.ReadDir(filepath.Join(work, "containers")); len(left) > 0 || machine.Live() > 0 {
		t.Errorf("left: %v, %d containers", left, machine.Live())
	}
	a.stop()
}

// A task that puts a link in the place of the directory of nested sandboxes must not make
// the agent write elsewhere.
func TestSandboxOfANestedContainerFollowsNoLink(t *testing.T) {
	machine, m := fakecontainers.New(), newMaster(t)
	a := start(t, t.TempDir(), machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	spec, err := machine.Await(t.Context(), func(containerizer.Spec) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(spec.Sandbox, "containers")); err != nil {
		t.Fatal(err)
	}
	a.expect(t, [2]string{`{"type":"LAUNCH_CONTAINER","launch_container":{"command":{"value":"x"},"container_id":{"value":"c","parent":{"value":"` +
		string(spec.ID) + `"}}}}`, "400 make sandbox"})
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("made outside of the sandbox: %v", left)
	}
	a.stop()
}

// pruned notes what PRUNE_IMAGES asks of the store.
type pruned []string

func (p *pruned) Prune(_ context.Context, excluded []string) error {
	*p = append(*p, "pruned but "+strings.Join(excluded, ","))
	return nil
}

func TestImagesLoggingAndHelp(t *testing.T) {
	m := newMaster(t)
	var images pruned
	a := startIn(t, t.TempDir(), 0, Deps{Containerizer: fakecontainers.New(), Dialer: m, Images: &images})
	m.register()
	a.expect(t, [][2]string{
		{`{"type":"PRUNE_IMAGES"}`, "200 "},
		{`{"type":"PRUNE_IMAGES","prune_images":{"excluded_images":[{"type":"DOCKER","docker":{"name":"busybox"}}]}}`, "200 "},
		{`{"type":"PRUNE_IMAGES","prune_images":{"excluded_images":[{"type":"APPC"}]}}`, "400 image 0 is not a DOCKER image"},
		{`{"type":"GET_LOGGING_LEVEL"}`, `200 "level":0`},
		{`{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":1,"duration":{"nanoseconds":600000000000}}}`, "200 "},
		{`{"type":"GET_LOGGING_LEVEL"}`, `200 "level":1`},
	}...)
	if len(images) != 2 || images[1] != "pruned but busybox" {
		t.Errorf("%q", images)
	}
	for path, want := range map[string]string{"/logging/toggle": "1\n", "/help": "/api/v1"} {
		if code, got := a.get(t, path); code != 200 || !strings.Contains(got, want) {
			t.Errorf("GET %s: %d %q", path, code, got)
		}
	}
	for _, path := range []string{"/logging/toggle?level=1", "/logging/toggle?duration=1secs", "/logging/toggle?level=x&duration=1secs", "/logging/toggle?level=1&duration=x"} {
		if code, got := a.get(t, path); code != 400 {
			t.Errorf("GET %s: %d %q", path, code, got)
		}
	}
	if code, _ := a.get(t, "/slave(1)/logging/toggle?level=0&duration=1secs"); code != 200 || a.level.Get() != 0 {
		t.Errorf("toggle: %d, level %d", code, a.level.Get())
	}
	a.stop()
}

// TestSandboxesOfCallsAreCollectedWhenAsked: --gc_non_executor_container_sandboxes, also for what ended while no agent was there.
func TestSandboxesOfCallsAreCollectedWhenAsked(t *testing.T) {
	work, machine, m := t.TempDir(), fakecontainers.New(), newMaster(t)
	collecting := func(c *Config) { c.GCNonExecutor, c.GCDelay, c.DiskWatchInterval = true, 0, 20*time.Millisecond }
	deps := Deps{Containerizer: machine, Dialer: m}
	a := startWith(t, work, 0, deps, collecting)
	m.register()
	for _, id := range []string{"one", "two"} {
		a.expect(t, [2]string{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"` + id + `"},"command":{"value":"serve"}}}`, "200 "})
	}
	a.expect(t, [2]string{`{"type":"KILL_CONTAINER","kill_container":{"container_id":{"value":"one"}}}`, "200 "})
	gone := func(id string) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			if _, err := os.Stat(filepath.Join(work, "containers", id)); errors.Is(err, os.ErrNotExist) {
				return
			} else if time.Now().After(end) {
				t.Fatalf("the sandbox of %s stays: %v", id, err)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	gone("one")
	if _, err := os.Stat(filepath.Join(work, "containers", "two")); err != nil {
		t.Errorf("the sandbox of a live container: %v", err)
	}
	a.stop()
	a = startWith(t, work, a.config.Port, deps, collecting)
	m.reregister()
	a.expect(t, [2]string{`{"type":"KILL_CONTAINER","kill_container":{"container_id":{"value":"two"}}}`, "200 "})
	gone("two")
	a.stop()
}
