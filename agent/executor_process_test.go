package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	client "agora.dev/agora/client/executor"
	"agora.dev/agora/executor/process"
)

// The built-in executors, as processes: the worked example of the HTTP executor API.
func TestBuiltInExecutorsRunOverTheHTTPAPI(t *testing.T) {
	for _, kind := range []string{"command", "taskgroup"} {
		t.Run(kind, func(t *testing.T) {
			machine, m := fakecontainers.New(), newMaster(t)
			a := start(t, t.TempDir(), machine, m, 0)
			m.register()
			sendCustom(m, kind)
			spec, err := machine.Await(t.Context(), func(s containerizer.Spec) bool { return s.Env["MESOS_EXECUTOR_ID"] == kind })
			if err != nil {
				t.Fatal(err)
			}
			env, err := client.ReadEnvironment(func(name string) string { return spec.Env[name] })
			if err != nil {
				t.Fatal(err)
			}
			sandbox := t.TempDir()
			done := make(chan error, 1)
			go func() { done <- process.RunIn(t.Context(), kind, env, sandbox) }()
			status := m.update("t-"+kind, mesos.TaskState_TASK_FAILED)
			if status.GetMessage() != "Command exited with status 3" {
				t.Errorf("status %v", status)
			}
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("executor: %v", err)
				}
			case <-time.After(patience):
				t.Error("the executor does not end")
			}
			found := ""
			filepath.Walk(sandbox, func(path string, info os.FileInfo, err error) error {
				if err == nil && filepath.Base(path) == "made" {
					found = path
				}
				return nil
			})
			if found == "" {
				t.Error("the command did not run in the sandbox")
			}
			a.stop()
		})
	}
}

func sendCustom(m *master, kind string) {
	executor := &mesos.ExecutorInfo{
		Type: mesos.ExecutorInfo_CUSTOM.Enum(), ExecutorId: &mesos.ExecutorID{Value: &kind},
		FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, Command: &mesos.CommandInfo{Value: proto.String("executor")},
	}
	task := commandTask("t-"+kind, "touch made; exit 3")
	framework := &mesos.FrameworkInfo{
		User: proto.String(""), Name: proto.String("f"), Id: &mesos.FrameworkID{Value: proto.String("f")}, Checkpoint: proto.Bool(true),
	}
	if kind == "taskgroup" {
		m.send(&link.FromMaster{Message: &link.FromMaster_RunTaskGroup{RunTaskGroup: &link.RunTaskGroup{
			Framework: framework, Executor: executor, TaskGroup: &mesos.TaskGroupInfo{Tasks: []*mesos.TaskInfo{task}},
		}}})
		return
	}
	task.Executor = executor
	m.send(&link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: &link.RunTask{Framework: framework, Task: task}}})
}
