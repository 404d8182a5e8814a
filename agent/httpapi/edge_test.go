package httpapi

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/internal/verbosity"
	"agora.dev/agora/resources"
)

func ptr[T any](v T) *T { return &v }

// backend is an agent that does not change.
type backend struct{ snapshot *core.Snapshot }

func (b *backend) Post(context.Context, core.Event) error { return errGone }

func (b *backend) Snapshot(context.Context) (*core.Snapshot, error) { return b.snapshot, nil }

// pruner is an image store without images.
type pruner struct{}

func (pruner) Prune(context.Context, []string) error { return nil }

// edge is a server over an agent with two tenants whose names are siblings, "web" and "web-b": a pod with a task
// each, in the containers "c-web" and "c-web-b", and a standalone container "alone". What belongs to a tenant
// is marked "mark-web." or "mark-web-b.".
type edge struct {
	*Server
	fake *containerizertest.Fake
	log  *strings.Builder
}

func newEdge(t *testing.T, tokens *Tokens, access guard.Access) *edge {
	t.Helper()
	e := &edge{fake: containerizertest.NewFake(), log: &strings.Builder{}}
	access.Audit = audit.New(slog.New(slog.NewJSONHandler(e.log, nil)))
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := &core.Snapshot{Recovered: true, Agent: &mesos.AgentInfo{Hostname: ptr("h")}}
	for _, tenant := range []string{"web", "web-b"} {
		f := tenantOf(t, tenant, filepath.Join(dir, tenant))
		snapshot.Frameworks = append(snapshot.Frameworks, f)
		write(tenant+"/stdout", "mark-"+tenant+". wrote this")
		own := reservedFor(t, tenant)
		snapshot.Total, snapshot.Agent.Resources = append(snapshot.Total, own...), append(snapshot.Agent.Resources, own...)
		snapshot.Operations = append(snapshot.Operations, &mesos.Operation{Info: &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: own}}})
		for _, c := range f.Executors[0].Containers {
			e.launch(t, c.ID)
		}
	}
	e.launch(t, "alone")
	write("log", "the log")
	e.Server = New(Config{Backend: &backend{snapshot}, Broker: NewBroker(), Containers: e.fake, Tokens: tokens, Version: "1.11.0", Endpoint: "127.0.0.1:5051",
		Flags: map[string]string{"work_dir": "/w"}, LogFile: filepath.Join(dir, "log"), Images: pruner{}, Level: verbosity.New(),
		StandaloneDir: filepath.Join(dir, "standalone"), Standalone: []containerizer.ID{"alone"}, SessionDir: filepath.Join(dir, "sessions"),
		Account: func(string) (int, int, error) { return -1, -1, nil }, Log: slog.New(slog.DiscardHandler), Access: access, SwitchUser: true})
	write("standalone/alone/stdout", "alone")
	return e
}

func (e *edge) launch(t *testing.T, id containerizer.ID) {
	t.Helper()
	if _, err := e.fake.Launch(t.Context(), containerizer.Spec{ID: id, Command: &mesos.CommandInfo{Value: ptr("x")}}); err != nil {
		t.Fatal(err)
	}
}

func reservedFor(t *testing.T, role string) []*mesos.Resource {
	t.Helper()
	parsed, err := resources.Parse("cpus:1", role)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Proto()
}

// tenantOf is a framework whose pod has one task.
func tenantOf(t *testing.T, tenant, sandbox string) core.FrameworkView {
	t.Helper()
	user := strings.Replace(tenant, "web", "webuser", 1)
	root := containerizer.ID("c-" + tenant)
	framework := &mesos.FrameworkInfo{User: &user, Name: ptr("mark-" + tenant + "."), Id: &mesos.FrameworkID{Value: ptr("f-" + tenant)}, Roles: []string{tenant}}
	task := &mesos.Task{Name: ptr("mark-" + tenant + ".task"), TaskId: &mesos.TaskID{Value: ptr("mark-" + tenant + ".task")},
		FrameworkId: framework.Id, AgentId: &mesos.AgentID{Value: ptr("S0")}, State: mesos.TaskState_TASK_RUNNING.Enum()}
	key := core.ExecutorKey{Framework: core.FrameworkID("f-" + tenant), Executor: core.ExecutorID("mark-" + tenant + ".executor")}
	return core.FrameworkView{Info: framework, Executors: []core.ExecutorView{{
		Run: core.Run{Key: key, Container: root}, Kind: core.TaskGroup, Sandbox: sandbox, State: "RUNNING", User: user, Users: []string{user},
		Info:     &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: ptr("mark-" + tenant + ".executor")}, FrameworkId: framework.Id},
		Launched: []*mesos.Task{task}, Resources: reservedFor(t, tenant),
		Containers: []core.ContainerView{{ID: root, User: user}, {ID: root + ".task", Task: core.TaskID(task.GetTaskId().GetValue()), User: user}},
	}}}
}
