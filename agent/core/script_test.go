package core_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/command"
	"agora.dev/agora/executor/taskgroup"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// Each file of testdata is a story: lines "> event" and, below each, what the core does.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if again := play(t, string(want)); again != got {
				t.Errorf("the second play differs: the core is not deterministic")
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("story differs (run with -update to accept); got:\n%s", firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d: got  %q\nwant %q\n\n%s", i+1, g[i], w[min(i, len(w)-1)], got)
		}
	}
	return got
}

func play(t *testing.T, story string) string {
	w := newWorld(t)
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimRight(story, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "#") || line == "":
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "> "):
			out.WriteString(line + "\n")
			for _, said := range w.do(strings.Fields(line[2:])) {
				out.WriteString("    " + said + "\n")
			}
		}
	}
	return out.String()
}

// world is one agent with its disk, its containers and a master.
type world struct {
	t       *testing.T
	now     time.Time
	core    *core.Core
	disk    core.State
	uuids   uint64
	link    core.LinkID
	probes  map[string]uint64           // the last probe of each task and kind
	live    map[containerizer.ID]string // names by container
	ids     map[string]containerizer.ID
	ended   map[containerizer.ID]containerizer.Termination
	updates map[string][]byte // uuid of the newest update sent, by task
	streams map[core.ExecutorKey]core.ConnectionID
	conn    core.ConnectionID
	request core.RequestID
	said    []string
}

type builtins struct{}

func (builtins) New(kind core.Kind, c executor.Config) executor.Core {
	if kind == core.TaskGroup {
		return taskgroup.New(c)
	}
	return command.New(c)
}

func (builtins) Restore(kind core.Kind, c executor.Config, state []byte) (executor.Core, error) {
	if kind == core.TaskGroup {
		return taskgroup.Restore(c, state)
	}
	return command.Restore(c, state)
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: time.Unix(1_800_000_000, 0).UTC(), probes: map[string]uint64{}, live: map[containerizer.ID]string{}, ids: map[string]containerizer.ID{},
		ended: map[containerizer.ID]containerizer.Termination{}, updates: map[string][]byte{},
		streams: map[core.ExecutorKey]core.ConnectionID{},
	}
	w.boot()
	return w
}

func (w *world) boot() {
	w.core = core.New(core.Config{
		Info:    &mesos.AgentInfo{Hostname: proto.String("host"), Port: proto.Int32(5051), Resources: machine()},
		Version: "test", Endpoint: "10.0.0.1:5051", IP: "10.0.0.1", Executors: builtins{}, SwitchUser: true,
		Sandbox: func(agent string, run core.Run, id containerizer.ID) string { return "/w/" + string(id) },
		NewUUID: func() (id [16]byte) {
			w.uuids++
			binary.BigEndian.PutUint64(id[8:], w.uuids)
			return id
		},
		Random: func() float64 { return 0.5 }, Boot: w.now.Add(-time.Hour),
		Token: func(core.ExecutorKey, containerizer.ID) string { return "token" },
	})
}

func str(s string) *string { return &s }

func framework(id string) *mesos.FrameworkInfo {
	info := &mesos.FrameworkInfo{User: str("nobody"), Name: str("test"), Id: &mesos.FrameworkID{Value: &id}, Checkpoint: proto.Bool(true)}
	if strings.HasPrefix(id, "pa") {
		for _, c := range []mesos.FrameworkInfo_Capability_Type{
			mesos.FrameworkInfo_Capability_PARTITION_AWARE, mesos.FrameworkInfo_Capability_TASK_KILLING_STATE,
		} {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: &c})
		}
	}
	return info
}

func taskInfo(id string) *mesos.TaskInfo {
	value := 0.5
	info := &mesos.TaskInfo{
		Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: str("S0")},
		Command: &mesos.CommandInfo{Value: str("run " + id)},
		Resources: []*mesos.Resource{{
			Name: str("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value},
		}},
	}
	if strings.HasPrefix(id, "checked") {
		addChecks(info)
	}
	if strings.HasPrefix(id, "soft") {
		info.Resources[0].Revocable = &mesos.Resource_RevocableInfo{}
	}
	return info
}

func executorInfo(kind mesos.ExecutorInfo_Type, f, id string) *mesos.ExecutorInfo {
	info := &mesos.ExecutorInfo{Type: &kind, ExecutorId: &mesos.ExecutorID{Value: &id}, FrameworkId: &mesos.FrameworkID{Value: &f}}
	if kind == mesos.ExecutorInfo_CUSTOM {
		info.Command = &mesos.CommandInfo{Value: str("executor")}
	}
	return info
}

// do plays one event and returns what the core did.
func (w *world) do(words []string) []string {
	w.said = nil
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch words[0] {
	case "start":
		w.step(core.Recovered{State: &w.disk, Containers: w.found()})
	case "crash":
		w.updates, w.streams, w.link = map[string][]byte{}, map[core.ExecutorKey]core.ConnectionID{}, w.link+1
		w.boot()
	case "open":
		w.link++
		w.step(core.LinkOpened{Link: w.link})
	case "close":
		w.step(core.LinkClosed{Link: w.link, Reason: "cut"})
	case "unreachable":
		w.step(core.LinkClosed{Reason: "connection refused"})
	case "leader":
		w.step(core.LeaderChanged{})
	case "wait":
		w.wait(arg(1))
	case "launched":
		w.step(core.ContainerLaunched{ID: w.ids[arg(1)], PID: 7})
	case "failed":
		delete(w.live, w.ids[arg(1)])
		w.step(core.ContainerLaunchFailed{ID: w.ids[arg(1)], Message: strings.Join(words[2:], " ")})
	case "exit":
		w.exit(w.ids[arg(1)], words[2:], true)
	case "dies": // while no agent looks
		w.exit(w.ids[arg(1)], words[2:], false)
	case "vanishes":
		delete(w.live, w.ids[arg(1)])
	case "unupdated":
		w.step(core.ContainerNotUpdated{ID: w.ids[arg(1)], Message: strings.Join(words[2:], " ")})
	case "probed":
		w.probed(arg(1), arg(2), arg(3))
	case "oom":
		how := containerizer.Termination{Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY,
			State: mesos.TaskState_TASK_FAILED, Message: "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB"}
		delete(w.live, w.ids[arg(1)])
		w.step(core.ContainerTerminated{ID: w.ids[arg(1)], Termination: how})
	case "subscribe", "disconnect", "update", "message":
		w.executor(words)
	default:
		w.master(words)
	}
	return w.said
}

func (w *world) found() []containerizer.Recovered {
	var out []containerizer.Recovered
	for id := range w.live {
		out = append(out, containerizer.Recovered{ID: id, PID: 7})
	}
	for id, how := range w.ended {
		out = append(out, containerizer.Recovered{ID: id, Ended: &how})
	}
	slices.SortFunc(out, func(a, b containerizer.Recovered) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

func (w *world) exit(id containerizer.ID, how []string, told bool) {
	number, _ := strconv.Atoi(how[1])
	status := int32(number)
	if how[0] == "status" {
		status <<= 8
	}
	delete(w.live, id)
	end := containerizer.Termination{Status: &status}
	if !told {
		w.ended[id] = end
		return
	}
	w.step(core.ContainerTerminated{ID: id, Termination: end})
}

// wait lets time pass, waking the core whenever it asked for it.
func (w *world) wait(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		w.t.Fatal(err)
	}
	end := w.now.Add(d)
	for {
		wake := w.core.Step(w.now, core.Tick{}).Wake
		if wake.IsZero() || wake.After(end) {
			break
		}
		start := w.now
		w.now = wake
		before := len(w.said)
		w.step(core.Tick{})
		if len(w.said) > before {
			w.said[before] = fmt.Sprintf("(+%s) %s", wake.Sub(start), w.said[before])
		}
	}
	w.now = end
}

func (w *world) executor(words []string) {
	key := core.ExecutorKey{Framework: core.FrameworkID(words[1]), Executor: core.ExecutorID(words[2])}
	w.request++
	switch words[0] {
	case "subscribe":
		w.conn++
		w.streams[key] = w.conn
		call := &execapi.Call_Subscribe{}
		for _, id := range words[3:] {
			call.UnacknowledgedTasks = append(call.UnacknowledgedTasks, taskInfo(id))
		}
		w.step(core.ExecutorSubscribed{Request: w.request, Connection: w.conn, Key: key, Subscribe: call})
	case "disconnect":
		w.step(core.ExecutorDisconnected{Connection: w.streams[key], Key: key})
	case "update":
		state := mesos.TaskState(mesos.TaskState_value["TASK_"+words[4]])
		w.uuids++
		uuid := binary.BigEndian.AppendUint64(make([]byte, 8), w.uuids)
		w.step(core.ExecutorCall{Request: w.request, Call: &execapi.Call{
			Type: execapi.Call_UPDATE.Enum(), FrameworkId: &mesos.FrameworkID{Value: &words[1]},
			ExecutorId: &mesos.ExecutorID{Value: &words[2]},
			Update: &execapi.Call_Update{Status: &mesos.TaskStatus{
				TaskId: &mesos.TaskID{Value: &words[3]}, State: &state, Uuid: uuid,
			}},
		}})
	}
}

func (w *world) fromMaster(m *link.FromMaster) {
	w.step(core.FromMaster{Link: w.link, Message: m})
}

func (w *world) master(words []string) {
	arg := func(i int) *string {
		if i < len(words) {
			return &words[i]
		}
		return str("")
	}
	fid, tid := &mesos.FrameworkID{Value: arg(1)}, &mesos.TaskID{Value: arg(2)}
	agent := &mesos.AgentID{Value: str("S0")}
	switch words[0] {
	case "registered":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_Registered{Registered: &link.Registered{AgentId: agent}}})
	case "reregistered":
		m := &link.Reregistered{AgentId: agent}
		for i := 2; i < len(words); i++ {
			m.Reconcile = append(m.Reconcile, &link.ReconcileTask{FrameworkId: fid, TaskId: &mesos.TaskID{Value: &words[i]}})
		}
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_Reregistered{Reregistered: m}})
	case "ping":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_Ping{Ping: &link.Ping{Connected: proto.Bool(*arg(1) != "disconnected")}}})
	case "run":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: &link.RunTask{Framework: framework(*arg(1)), Task: taskInfo(*arg(2))}}})
	case "custom":
		task := taskInfo(*arg(3))
		task.Command, task.Executor = nil, executorInfo(mesos.ExecutorInfo_CUSTOM, *arg(1), *arg(2))
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: &link.RunTask{Framework: framework(*arg(1)), Task: task}}})
	case "group":
		group := &mesos.TaskGroupInfo{}
		for _, id := range words[3:] {
			group.Tasks = append(group.Tasks, taskInfo(id))
		}
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_RunTaskGroup{RunTaskGroup: &link.RunTaskGroup{
			Framework: framework(*arg(1)), Executor: executorInfo(mesos.ExecutorInfo_DEFAULT, *arg(1), *arg(2)), TaskGroup: group,
		}}})
	case "kill":
		m := &link.KillTask{FrameworkId: fid, TaskId: tid}
		if d, err := time.ParseDuration(*arg(3)); err == nil {
			m.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}}
		}
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_KillTask{KillTask: m}})
	case "ack":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_AcknowledgeUpdate{AcknowledgeUpdate: &link.AcknowledgeUpdate{
			AgentId: agent, FrameworkId: fid, TaskId: tid, Uuid: w.updates[*arg(2)],
		}}})
	case "shutdown-framework":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_ShutdownFramework{ShutdownFramework: &link.ShutdownFramework{FrameworkId: fid}}})
	case "shutdown-executor":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_ShutdownExecutor{ShutdownExecutor: &link.ShutdownExecutor{
			FrameworkId: fid, ExecutorId: &mesos.ExecutorID{Value: arg(2)},
		}}})
	case "drain":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_DrainAgent{DrainAgent: &link.DrainAgent{Config: drainConfig(words[1:])}}})
	case "undrain":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_DrainAgent{DrainAgent: &link.DrainAgent{}}})
	case "reregistered-draining":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_Reregistered{Reregistered: &link.Reregistered{
			AgentId: agent, DrainConfig: drainConfig(words[1:])}}})
	case "shutdown-agent":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_ShutdownAgent{ShutdownAgent: &link.ShutdownAgent{Message: str("gone")}}})
	case "operate", "ack-operation", "run-on":
		w.operation(words)
	case "estimate", "preempt":
		w.oversubscription(words)
	case "reconcile":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_ReconcileTasks{ReconcileTasks: &link.ReconcileTasks{
			Tasks: []*link.ReconcileTask{{FrameworkId: fid, TaskId: tid}},
		}}})
	default:
		w.t.Fatalf("unknown event %v", words)
	}
}

// drainConfig reads "[gone] [DURATION]".
func drainConfig(words []string) *mesos.DrainConfig {
	config := &mesos.DrainConfig{}
	for _, word := range words {
		if d, err := time.ParseDuration(word); err == nil {
			config.MaxGracePeriod = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}
		}
		if word == "gone" {
			config.MarkGone = proto.Bool(true)
		}
	}
	return config
}
