package master_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master"
)

// shape collects every path of a document with the type that stands there. Names of flags,
// metrics and roles are not part of it.
func shape(into map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, member := range v {
			shape(into, path+"."+key, member)
		}
	case []any:
		for _, element := range v {
			shape(into, path+"[]", element)
		}
	default:
		into[path] = fmt.Sprintf("%T", v)
	}
}

func shapeOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	paths := map[string]string{}
	shape(paths, "", document)
	return paths
}

// foreign are parts of the recorded cluster that this test's cluster does not have.
var foreign = []string{"flags", "metrics", "executors", "discovery", "labels", "log_dir", "git_sha", "reservation", "reserved",
	"container_status", "zone", "ports", "gpus.", "ranges", "operations", "health", "name\":", "quota", "url", "data",
	"check_status", "message", "reason", "limits", "container", "user", "kill_policy", "executor_id", "checkpoint", "].allocated.disk", "].resources.disk", "healthy", "offer_filters", "offers", "offered", "reregistered_time", "completed_tasks", "constraints"}

func TestAnswersHaveTheRecordedShape(t *testing.T) {
	golden := filepath.Join("..", "..", "shared", "golden", "with-tasks")
	if _, err := os.Stat(golden); err != nil {
		t.Skipf("no recorded answers at %s", golden)
	}
	m := startMaster(t, master.Deps{})
	f := subscribe(t, m, codec.JSON, nil)
	a := startAgent(t, m)
	offer := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
	f.accept(offer, commandTask("t1", a.id))
	task := a.recv().GetRunTask().GetTask().GetTaskId()
	a.update(f.id, task, mesos.TaskState_TASK_RUNNING)
	f.expect(scheduler.Event_UPDATE)
	for _, path := range []string{"state", "state-summary", "slaves", "frameworks", "tasks", "version", "roles"} {
		_, got := get(t, m, "/master/"+path)
		compareShape(t, filepath.Join(golden, "master-v0", path+".http"), got)
	}
	for _, call := range []string{"GET_STATE", "GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_MASTER", "GET_HEALTH", "GET_VERSION", "GET_LOGGING_LEVEL"} {
		status, got := operatorCall(t, m, `{"type":"`+call+`"}`)
		if status != 200 {
			t.Errorf("%s: %d %s", call, status, got)
			continue
		}
		compareShape(t, filepath.Join(golden, "master-v1", call+".http"), got)
	}
}

func compareShape(t *testing.T, file, got string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, answer, _ := strings.Cut(string(raw), "<<< RESPONSE")
	_, body, _ := strings.Cut(answer, "\n\n")
	have := shapeOf(t, got)
	var missing []string
next:
	for path, kind := range shapeOf(t, body) {
		if have[path] == kind {
			continue
		}
		for _, part := range foreign {
			if strings.Contains(path, part) {
				continue next
			}
		}
		missing = append(missing, fmt.Sprintf("%s %s (have %q)", path, kind, have[path]))
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("%s: lacks\n  %s", filepath.Base(file), strings.Join(missing, "\n  "))
	}
}
