package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// part is the raw JSON of one member of a view.
func (e *edge) part(t *testing.T, path, name string) string {
	t.Helper()
	_, _, body := e.serve(httptest.NewRequest("GET", path, nil))
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(members[name])
}

// /state is copied from the last one as far as nothing changed, /frameworks and /slaves are written anew.
func TestStateIsTheSameWhetherCopiedOrWritten(t *testing.T) {
	e := newEdge(t)
	task := func(n int, state mesos.TaskState) *mesos.Task {
		id := &mesos.TaskID{Value: ptr(fmt.Sprintf("task-%d", n))}
		return &mesos.Task{Name: ptr("n"), TaskId: id, FrameworkId: &mesos.FrameworkID{Value: ptr("f")}, AgentId: &mesos.AgentID{Value: ptr("a")},
			State: state.Enum(), Resources: []*mesos.Resource{{Name: ptr("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: ptr(0.1)}},
				{Name: ptr("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: ptr(uint64(n)), End: ptr(uint64(n))}}}}}}
	}
	framework := func(id string) *mesos.FrameworkInfo {
		return &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: &id}, User: ptr("u"), Name: ptr("n"), Roles: []string{"*"},
			Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
	}
	f, ended := framework("f"), framework("ended")
	m := &link.Reregister{Agent: &mesos.AgentInfo{Id: &mesos.AgentID{Value: ptr("a")}, Hostname: ptr("h")}, Frameworks: []*mesos.FrameworkInfo{f, ended}}
	done := &link.CompletedFramework{Framework: ended}
	for n := range 1300 { // more than are kept, so that the history begins in the middle of a block
		done.Tasks = append(done.Tasks, task(n, mesos.TaskState_TASK_FINISHED))
	}
	m.CompletedFrameworks = []*link.CompletedFramework{done}
	for n := range 200 {
		m.Tasks = append(m.Tasks, task(10_000+n, mesos.TaskState_TASK_RUNNING))
	}
	e.step(core.AgentLinkOpened{Link: 1, IP: "127.0.0.1"})
	e.step(core.AgentMessage{Link: 1, Message: &link.FromAgent{Message: &link.FromAgent_Reregister{Reregister: m}}})
	before := ""
	for round := range 5 {
		for range 2 { // written, then copied
			copied, written := e.part(t, "/state", "frameworks"), e.part(t, "/frameworks", "frameworks")
			if copied != written {
				t.Fatalf("round %d: /state has\n%.2000s\n/frameworks has\n%.2000s", round, copied, written)
			}
			for id, want := range map[string]bool{"task-299": false, "task-300": true, "task-1299": true, "task-10199": true} {
				if strings.Contains(copied, `"`+id+`"`) != want {
					t.Fatalf("round %d: %s is there: %t", round, id, !want)
				}
			}
		}
		if now := e.part(t, "/state", "frameworks") + e.part(t, "/state", "slaves"); now == before {
			t.Fatalf("round %d: nothing changed", round)
		} else {
			before = now
		}
		changed := task(10_000+round*40, mesos.TaskState_TASK_KILLING)
		e.step(core.AgentMessage{Link: 1, Message: &link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
			FrameworkId: f.Id, AgentId: m.Agent.Id, Status: &mesos.TaskStatus{TaskId: changed.TaskId, State: changed.State, AgentId: m.Agent.Id}}}}})
	}
}
