package agent

import (
	"fmt"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	mesos "agora.dev/agora/api/mesos/v1"
)

func TestNestedContainerIsLaunchedWaitedForAndRemoved(t *testing.T) {
	machine, m := fakecontainers.New(), newMaster(t)
	a := start(t, t.TempDir(), machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	spec, err := machine.Await(t.Context(), func(containerizer.Spec) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf(`{"container_id":{"value":"n1","parent":{"value":%q}}`, spec.ID)
	launch := `{"type":"LAUNCH_CONTAINER","launch_container":` + id + `,"command":{"value":"ignore signals"}}}`
	for _, step := range []struct {
		body string
		code int
		text string
	}{
		{launch, 200, ""},
		{launch, 202, ""},
		{`{"type":"KILL_CONTAINER","kill_container":` + id + `,"signal":15}}`, 200, ""},
		{`{"type":"KILL_CONTAINER","kill_container":` + id + `}}`, 200, ""},
		{`{"type":"WAIT_CONTAINER","wait_container":` + id + `}}`, 200, `"exit_status":9`},
		{`{"type":"WAIT_NESTED_CONTAINER","wait_nested_container":` + id + `}}`, 200, `"exit_status":9`},
		{`{"type":"REMOVE_NESTED_CONTAINER","remove_nested_container":` + id + `}}`, 200, ""},
		{`{"type":"WAIT_CONTAINER","wait_container":` + id + `}}`, 404, "cannot be found"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"a/b"}}}`, 400, "'a/b' contains invalid characters"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"x","parent":{"value":"nope"}}}}`, 400, "Parent container nope does not exist"},
		{`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"x"}}}`, 400, "the container has no command"},
	} {
		if code, text := a.call(t, "/api/v1", "", step.body); code != step.code || !strings.Contains(text, step.text) {
			t.Errorf("%s: %d %s; want %d %s", step.body, code, text, step.code, step.text)
		}
	}
	a.stop()
}
