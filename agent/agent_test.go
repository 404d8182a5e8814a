package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// master is the other end of the links of one agent.
type master struct {
	t     *testing.T
	links chan *pipe
	open  *pipe
}

type pipe struct {
	up   chan *link.FromAgent
	down chan *link.FromMaster
	done chan struct{}
}

func (p *pipe) Send(m *link.FromAgent) error {
	select {
	case p.up <- m:
		return nil
	case <-p.done:
		return io.ErrClosedPipe
	}
}

func (p *pipe) Recv() (*link.FromMaster, error) {
	select {
	case m := <-p.down:
		return m, nil
	case <-p.done:
		return nil, io.EOF
	}
}

func (p *pipe) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (m *master) Dial(ctx context.Context) (Link, error) {
	p := &pipe{up: make(chan *link.FromAgent, 64), down: make(chan *link.FromMaster, 64), done: make(chan struct{})}
	select {
	case m.links <- p:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const patience = 20 * time.Second

// next waits for a message that pick takes.
func (m *master) next(what string, pick func(*link.FromAgent) bool) *link.FromAgent {
	m.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case p := <-m.links:
			m.open = p
		case msg := <-m.up():
			if pick(msg) {
				return msg
			}
		case <-deadline:
			m.t.Fatalf("no %s from the agent", what)
		}
	}
}

func (m *master) up() chan *link.FromAgent {
	if m.open == nil {
		return nil
	}
	return m.open.up
}

func (m *master) send(msg *link.FromMaster) { m.open.down <- msg }

func (m *master) register() {
	m.next("register", func(a *link.FromAgent) bool { return a.GetRegister() != nil })
	m.send(&link.FromMaster{Message: &link.FromMaster_Registered{Registered: &link.Registered{AgentId: &mesos.AgentID{Value: proto.String("S0")}}}})
}

func (m *master) reregister() *link.Reregister {
	r := m.next("reregister", func(a *link.FromAgent) bool { return a.GetReregister() != nil }).GetReregister()
	m.send(&link.FromMaster{Message: &link.FromMaster_Reregistered{Reregistered: &link.Reregistered{AgentId: &mesos.AgentID{Value: proto.String("S0")}}}})
	return r
}

// update waits for a state of a task and acknowledges everything up to it.
func (m *master) update(task string, state mesos.TaskState) *mesos.TaskStatus {
	m.t.Helper()
	for {
		u := m.next("update "+state.String(), func(a *link.FromAgent) bool { return a.GetStatusUpdate() != nil }).GetStatusUpdate()
		m.send(&link.FromMaster{Message: &link.FromMaster_AcknowledgeUpdate{AcknowledgeUpdate: &link.AcknowledgeUpdate{
			AgentId: u.GetAgentId(), FrameworkId: u.GetFrameworkId(), TaskId: u.GetStatus().GetTaskId(), Uuid: u.GetStatus().GetUuid(),
		}}})
		if u.GetStatus().GetTaskId().GetValue() == task && u.GetStatus().GetState() == state {
			return u.GetStatus()
		}
	}
}

func (m *master) run(task *mesos.TaskInfo) {
	m.send(&link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: &link.RunTask{
		Framework: &mesos.FrameworkInfo{User: proto.String(""), Name: proto.String("f"), Id: &mesos.FrameworkID{Value: proto.String("f")}, Checkpoint: proto.Bool(true)},
		Task:      task,
	}}})
}

func commandTask(id, command string) *mesos.TaskInfo {
	return &mesos.TaskInfo{
		Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("S0")},
		Command: &mesos.CommandInfo{Value: &command}, Resources: []*mesos.Resource{scalar("cpus", 0.1)},
	}
}

// started is one running agent.
type started struct {
	*Agent
	stop func()
}

func start(t *testing.T, work string, machine *fakecontainers.Machine, m *master, port int) *started {
	t.Helper()
	return startIn(t, work, port, Deps{Containerizer: machine, Dialer: m})
}

func startIn(t *testing.T, work string, port int, deps Deps) *started {
	t.Helper()
	return startWith(t, work, port, deps, nil)
}

// startWith lets change change the options.
func startWith(t *testing.T, work string, port int, deps Deps, change func(*Config)) *started {
	t.Helper()
	config := Default()
	config.WorkDir, config.Hostname, config.SwitchUser, config.Port = work, "host", false, port
	config.Resources, config.Attributes = "cpus:4;mem:1024;disk:1000", "rack:r1"
	if change != nil {
		change(&config)
	}
	a, err := New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s := &started{Agent: a, stop: func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the agent does not end")
		}
	}}
	t.Cleanup(cancel)
	return s
}

func newMaster(t *testing.T) *master { return &master{t: t, links: make(chan *pipe)} }

func (s *started) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(body)
}

func (s *started) call(t *testing.T, path, token, body string) (int, string) {
	t.Helper()
	request, _ := http.NewRequest("POST", "http://"+s.Address()+path, strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

func TestTaskSurvivesAgentRestartWithItsExitStatus(t *testing.T) {
	work, machine, m := t.TempDir(), fakecontainers.New(), newMaster(t)
	first := start(t, work, machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	status := m.update("t1", mesos.TaskState_TASK_RUNNING)
	if status.GetContainerStatus().GetExecutorPid() == 0 || status.GetSource() != mesos.TaskStatus_SOURCE_EXECUTOR {
		t.Errorf("incomplete status: %v", status)
	}
	spec, err := machine.Await(t.Context(), func(s containerizer.Spec) bool { return s.Env["MESOS_EXECUTOR_ID"] == "t1" })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(spec.Sandbox); err != nil {
		t.Errorf("sandbox: %v", err)
	}
	_, port, _ := net.SplitHostPort(first.Address())
	first.stop()
	machine.End(spec.ID, 7<<8) // while no agent looks
	var number int
	fmt.Sscan(port, &number)
	second := start(t, work, machine, m, number)
	r := m.reregister()
	if len(r.GetTasks()) != 1 || r.GetTasks()[0].GetState() != mesos.TaskState_TASK_FAILED {
		t.Fatalf("reregistered with %v", r.GetTasks())
	}
	status = m.update("t1", mesos.TaskState_TASK_FAILED)
	if status.GetMessage() != "Command exited with status 7" {
		t.Errorf("message %q", status.GetMessage())
	}
	second.stop()
}

func TestLaunchFailureIsOneClearLine(t *testing.T) {
	m := newMaster(t)
	a := start(t, t.TempDir(), fakecontainers.New(), m, 0)
	m.register()
	m.run(commandTask("t1", "no such command"))
	status := m.update("t1", mesos.TaskState_TASK_FAILED)
	if status.GetMessage() != "no such command: command not found" || status.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED {
		t.Errorf("status %v", status)
	}
	a.stop()
}

func TestOperatorAndLegacyEndpoints(t *testing.T) {
	work, machine, m := t.TempDir(), fakecontainers.New(), newMaster(t)
	a := start(t, work, machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	spec, _ := machine.Await(t.Context(), func(containerizer.Spec) bool { return true })
	if err := os.WriteFile(filepath.Join(spec.Sandbox, "stdout"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(spec.Sandbox, "escape")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/state": `"id":"t1"`, "/slave(1)/state.json": `"rack":"r1"`, "/state/": `"TASK_RUNNING"`, "/version": `"version"`,
		"/slave(1)/flags": `"flags"`, "/metrics/snapshot": `"slave/tasks_running":1.0`,
		"/metrics/prometheus": "agora_containerizer_launch_seconds_count 1\n", "/containers": `"executor_id":"t1"`,
		"/monitor/statistics.json": `"statistics"`, "/files/browse?path=" + spec.Sandbox: `"path":"` + spec.Sandbox + `/stdout"`,
		"/files/read?offset=0&path=" + spec.Sandbox + "/stdout":          `"data":"hello"`,
		"/files/read?path=/frameworks/f/executors/t1/runs/latest/stdout": `"offset":5`,
		"/slave(1)/files/download.json?path=" + spec.Sandbox + "/stdout": "hello",
		"/health": "",
	} {
		if code, body := a.get(t, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d %s; want %s", path, code, body, want)
		}
	}
	for _, path := range []string{
		"/files/read?path=" + spec.Sandbox + "/escape", "/files/read?path=" + spec.Sandbox + "/../../../../lock",
		"/files/download?path=/etc/passwd", "/files/browse?path=" + work, "/nothing",
	} {
		if code, body := a.get(t, path); code != 404 {
			t.Errorf("GET %s: %d %s; want 404", path, code, body)
		}
	}
	for body, want := range map[string]string{
		`{"type":"GET_HEALTH"}`: `"healthy":true`, `{"type":"GET_TASKS"}`: `"launched_tasks"`, `{"type":"GET_STATE"}`: `"get_tasks"`,
		`{"type":"GET_AGENT"}`: `"hostname":"host"`, `{"type":"GET_CONTAINERS"}`: `"container_id"`, `{"type":"GET_EXECUTORS"}`: `"executor_info"`,
		`{"type":"GET_FRAMEWORKS"}`: `"framework_info"`, `{"type":"GET_FLAGS"}`: `"work_dir"`, `{"type":"GET_VERSION"}`: `"version"`,
		`{"type":"GET_METRICS","get_metrics":{}}`:                                            `"slave/registered"`,
		`{"type":"LIST_FILES","list_files":{"path":"` + spec.Sandbox + `"}}`:                 `stdout`,
		`{"type":"READ_FILE","read_file":{"path":"` + spec.Sandbox + `/stdout","offset":1}}`: `"data":"ZWxsbw=="`,
	} {
		if code, got := a.call(t, "/slave(1)/api/v1", "", body); code != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s; want %s", body, code, got, want)
		}
	}
	a.stop()
}

func TestExecutorNeedsItsOwnCredential(t *testing.T) {
	machine, m := fakecontainers.New(), newMaster(t)
	a := start(t, t.TempDir(), machine, m, 0)
	m.register()
	for _, id := range []string{"e1", "e2"} {
		task := commandTask("task-"+id, "")
		task.Command = nil
		task.Executor = &mesos.ExecutorInfo{
			Type: mesos.ExecutorInfo_CUSTOM.Enum(), ExecutorId: &mesos.ExecutorID{Value: &id},
			FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, Command: &mesos.CommandInfo{Value: proto.String(id)},
		}
		m.run(task)
	}
	tokens := map[string]string{}
	for _, id := range []string{"e1", "e2"} {
		spec, err := machine.Await(t.Context(), func(s containerizer.Spec) bool { return s.Env["MESOS_EXECUTOR_ID"] == id })
		if err != nil {
			t.Fatal(err)
		}
		tokens[id] = spec.Env["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"]
	}
	message := `{"type":"MESSAGE","framework_id":{"value":"f"},"executor_id":{"value":"e1"},"message":{"data":"aGk="}}`
	for _, c := range []struct {
		token string
		want  int
	}{{"", 401}, {"junk", 401}, {tokens["e2"], 403}, {tokens["e1"], 403 /* not subscribed */}} {
		if code, body := a.call(t, "/api/v1/executor", c.token, message); code != c.want {
			t.Errorf("token %.10q: %d %s, want %d", c.token, code, body, c.want)
		}
	}
	request, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+a.Address()+"/slave(1)/api/v1/executor",
		strings.NewReader(`{"type":"SUBSCRIBE","framework_id":{"value":"f"},"executor_id":{"value":"e1"},"subscribe":{}}`))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+tokens["e1"])
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("subscribe: %v %v", response, err)
	}
	defer response.Body.Close()
	var seen bytes.Buffer
	for !strings.Contains(seen.String(), `"LAUNCH"`) {
		buffer := make([]byte, 4096)
		n, err := response.Body.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("stream: %v after %s", err, seen.String())
		}
	}
	for state, want := range map[string]int{"TASK_RUNNING": 202, "TASK_STAGING": 400} {
		body := fmt.Sprintf(`{"type":"UPDATE","framework_id":{"value":"f"},"executor_id":{"value":"e1"},"update":{"status":
			{"task_id":{"value":"task-e1"},"state":%q,"source":"SOURCE_EXECUTOR","uuid":"AAAAAAAAAAAAAAAAAAAAAQ=="}}}`, state)
		if code, text := a.call(t, "/api/v1/executor", tokens["e1"], body); code != want {
			t.Errorf("update %s: %d %s, want %d", state, code, text, want)
		}
	}
	m.update("task-e1", mesos.TaskState_TASK_RUNNING)
	a.stop()
}

func TestSessionEchoes(t *testing.T) {
	machine, m := fakecontainers.New(), newMaster(t)
	a := start(t, t.TempDir(), machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	spec, _ := machine.Await(t.Context(), func(containerizer.Spec) bool { return true })
	body := fmt.Sprintf(`{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{"container_id":
		{"value":"s1","parent":{"value":%q}},"command":{"value":"cat"}}}`, spec.ID)
	request, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+a.Address()+"/api/v1", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/recordio")
	request.Header.Set("Message-Accept", "application/json")
	output, err := http.DefaultClient.Do(request)
	if err != nil || output.StatusCode != 200 {
		t.Fatalf("session: %v %v", output, err)
	}
	defer output.Body.Close()
	var input bytes.Buffer
	for _, record := range []string{
		fmt.Sprintf(`{"type":"CONTAINER_ID","container_id":{"value":"s1","parent":{"value":%q}}}`, spec.ID),
		`{"type":"PROCESS_IO","process_io":{"type":"DATA","data":{"type":"STDIN","data":"cGluZw=="}}}`,
		`{"type":"PROCESS_IO","process_io":{"type":"DATA","data":{"type":"STDIN","data":""}}}`,
	} {
		record = `{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":` + record + `}`
		fmt.Fprintf(&input, "%d\n%s", len(record), record)
	}
	attach, _ := http.NewRequest("POST", "http://"+a.Address()+"/api/v1", &input)
	attach.Header.Set("Content-Type", "application/recordio")
	attach.Header.Set("Message-Content-Type", "application/json")
	attached, err := http.DefaultClient.Do(attach)
	if err != nil || attached.StatusCode != 200 {
		t.Fatalf("attach: %v %v", attached, err)
	}
	attached.Body.Close()
	all, err := io.ReadAll(output.Body) // ends with the command
	if err != nil || !strings.Contains(string(all), `"data":"cGluZw=="`) || !strings.Contains(string(all), `STDERR`) {
		t.Errorf("output %s, %v", all, err)
	}
	a.stop()
}

func TestShutdownKillsTasksAndSaysGoodbye(t *testing.T) {
	machine, m := fakecontainers.New(), newMaster(t)
	a := start(t, t.TempDir(), machine, m, 0)
	m.register()
	m.run(commandTask("t1", "serve"))
	m.update("t1", mesos.TaskState_TASK_RUNNING)
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.next("unregister", func(f *link.FromAgent) bool { return f.GetUnregister() != nil })
	if n := machine.Live(); n != 0 {
		t.Errorf("%d containers left", n)
	}
	a.stop()
}

func TestBadOptionsAreOneClearLine(t *testing.T) {
	work := t.TempDir()
	for want, change := range map[string]func(*Config){
		"--work_dir is missing":          func(c *Config) { c.WorkDir = "" },
		"refusing to listen on 0.0.0.0":  func(c *Config) { c.IP = "0.0.0.0" },
		"--launcher=warp is unknown":     func(c *Config) { c.Launcher = "warp" },
		"--isolation":                    func(c *Config) { c.Isolation = "cgroups/cpu,warp/x" },
		"only one of --check_agent_port": func(c *Config) { c.CheckAgentPortRangeOnly, c.ContainerPortsIsolatedRange = true, "[1-2]" },
		"--container_ports_isolated_ran": func(c *Config) { c.ContainerPortsIsolatedRange = "1-2" },
		"--container_ports_watch_interv": func(c *Config) { c.ContainerPortsWatchInterval = 0 },
		"--nvidia_gpu_devices needs gpu": func(c *Config) { c.NvidiaGPUDevices = "0" },
		"--allowed_devices: device /dev": func(c *Config) {
			c.AllowedDevices = `{"allowed_devices":[{"device":{"path":"/dev/none"},"access":{"read":true}}]}`
		},
		"is no range; give the first and":  func(c *Config) { c.UsernsRange = "1000" },
		"--userns=always needs ids":        func(c *Config) { c.Userns = "always" },
		"--image_provisioner_backend=aufs": func(c *Config) { c.Backend = "aufs" },
		"--resources":                      func(c *Config) { c.Resources = "cpus:many" },
		"--domain":                         func(c *Config) { c.Domain = `{"fault_domain":{"region":{"name":"r"}}}` },
		"--attributes":                     func(c *Config) { c.Attributes = "rack" },
		"--master is missing":              func(c *Config) { c.Master = "" },
		"detection over zk":                func(c *Config) { c.Master = "zk://h:2181/mesos" },
		"--recover=maybe is unknown":       func(c *Config) { c.Recover = "maybe" },
		"--executor_environment_variabl":   func(c *Config) { c.ExecutorEnvironmentVariables = "{" },
	} {
		config := Default()
		config.WorkDir, config.Master, config.Port = work, "127.0.0.1:5050", 0
		change(&config)
		a, err := New(config, Deps{Containerizer: fakecontainers.New()})
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, want)
		}
	}
}

func TestSecondAgentOnOneWorkDirectoryIsRefused(t *testing.T) {
	work := t.TempDir()
	a := start(t, work, fakecontainers.New(), newMaster(t), 0)
	config := Default()
	config.WorkDir, config.Master, config.Port = work, "127.0.0.1:5050", 0
	if _, err := New(config, Deps{Containerizer: fakecontainers.New()}); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("second agent: %v", err)
	}
	a.stop()
}

func TestDetectionCompletesResources(t *testing.T) {
	all, err := detect([]*mesos.Resource{scalar("cpus", 3)}, t.TempDir())
	if err != nil || len(all) != 4 || all[0].GetScalar().GetValue() != 3 {
		data, _ := json.Marshal(all)
		t.Errorf("detected %s, %v", data, err)
	}
}
