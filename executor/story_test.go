package executor_test

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

	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/command"
	"agora.dev/agora/executor/taskgroup"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// Each file below {command,taskgroup}/testdata is a story of that core: lines "> input"
// and, below each, what the core does.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("*/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(file, "/")
			got := play(t, kind, string(want))
			if again := play(t, kind, string(want)); again != got {
				t.Errorf("the second play differs: the core is not deterministic")
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("story differs (run with -update to accept); got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// stage is one core with its host.
type stage struct {
	t       *testing.T
	kind    string
	config  executor.Config
	core    executor.Core
	state   []byte
	now     time.Time
	wake    time.Time
	live    map[string]executor.ContainerID // by task
	updates map[string][]byte
	probes  map[string]uint64 // the number of the last probe, by task and kind
	hold    bool              // the agent does not acknowledge
	said    []string
}

func play(t *testing.T, kind, story string) string {
	n := uint64(0)
	s := &stage{
		t: t, kind: kind, now: time.Unix(1_800_000_000, 0), live: map[string]executor.ContainerID{}, updates: map[string][]byte{},
		probes: map[string]uint64{},
		config: executor.Config{
			FrameworkID: "f", ExecutorID: "e", Container: "root", ShutdownGrace: 5 * time.Second,
			Boot: time.Unix(1_799_990_000, 0),
			NewUUID: func() (id [16]byte) {
				n++
				binary.BigEndian.PutUint64(id[8:], n)
				return id
			},
		},
	}
	s.core = s.fresh()
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimRight(story, "\n"), "\n") {
		if strings.HasPrefix(line, "    ") {
			continue
		}
		out.WriteString(line + "\n")
		if words, ok := strings.CutPrefix(line, "> "); ok {
			s.said = nil
			s.do(strings.Fields(words))
			for _, said := range s.said {
				out.WriteString("    " + said + "\n")
			}
		}
	}
	return out.String()
}

func (s *stage) fresh() executor.Core {
	if s.kind == "taskgroup" {
		return taskgroup.New(s.config)
	}
	return command.New(s.config)
}

func (s *stage) do(words []string) {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch words[0] {
	case "subscribed":
		info := &mesos.FrameworkInfo{}
		if arg(1) == "killing" {
			kind := mesos.FrameworkInfo_Capability_TASK_KILLING_STATE
			info.Capabilities = []*mesos.FrameworkInfo_Capability{{Type: &kind}}
		}
		s.event(&execapi.Event{Type: execapi.Event_SUBSCRIBED.Enum(), Subscribed: &execapi.Event_Subscribed{FrameworkInfo: info}})
	case "launch":
		s.event(&execapi.Event{Type: execapi.Event_LAUNCH.Enum(), Launch: &execapi.Event_Launch{Task: task(arg(1))}})
	case "group":
		group := &mesos.TaskGroupInfo{}
		for _, spec := range words[1:] {
			group.Tasks = append(group.Tasks, task(spec))
		}
		s.event(&execapi.Event{Type: execapi.Event_LAUNCH_GROUP.Enum(), LaunchGroup: &execapi.Event_LaunchGroup{TaskGroup: group}})
	case "kill":
		kill := &execapi.Event_Kill{TaskId: &mesos.TaskID{Value: &words[1]}}
		if d, err := time.ParseDuration(arg(2)); err == nil {
			kill.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}}
		}
		s.event(&execapi.Event{Type: execapi.Event_KILL.Enum(), Kill: kill})
	case "shutdown":
		s.event(&execapi.Event{Type: execapi.Event_SHUTDOWN.Enum()})
	case "hold":
		s.hold = true
	case "ack":
		s.hold = false
		s.acknowledge(arg(1), s.updates[arg(1)])
	case "launched":
		s.input(executor.Launched{Container: s.live[arg(1)], PID: 7})
	case "failed":
		s.input(executor.LaunchFailed{Container: s.live[arg(1)], Message: strings.Join(words[2:], " ")})
	case "exit":
		s.input(executor.Terminated{Container: s.live[arg(1)], Termination: termination(words[2:])})
	case "wait":
		s.wait(arg(1))
	case "crash":
		s.crash(words[1:])
	case "unsignalled":
		s.input(executor.TerminateFailed{Container: s.live[arg(1)]})
	case "probe":
		s.probe(arg(1), arg(2), arg(3))
	case "disconnected":
		s.input(executor.Disconnected{})
	default:
		s.t.Fatalf("unknown input %v", words)
	}
}

func task(spec string) *mesos.TaskInfo {
	id, options, _ := strings.Cut(spec, ",")
	info := &mesos.TaskInfo{
		Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("S0")},
		Command: &mesos.CommandInfo{Value: proto.String("true")},
	}
	for option := range strings.SplitSeq(options, ",") {
		name, text, _ := strings.Cut(option, "=")
		d, _ := time.ParseDuration(text)
		value := &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}
		switch name {
		case "grace":
			info.KillPolicy = &mesos.KillPolicy{GracePeriod: value}
		case "max":
			info.MaxCompletionTime = value
		case "health":
			info.HealthCheck = health(text)
		case "check":
			info.Check = check(text)
		}
	}
	return info
}

func termination(words []string) executor.Termination {
	if words[0] == "limit" {
		return executor.Termination{
			State: mesos.TaskState_TASK_FAILED, Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY, Message: "too much memory",
		}
	}
	n, _ := strconv.Atoi(words[1])
	status := int32(n)
	if words[0] == "status" {
		status <<= 8
	}
	return executor.Termination{Status: &status}
}

// crash restores the core from its last state; the listed tasks are still alive.
func (s *stage) crash(alive []string) {
	var err error
	if s.kind == "taskgroup" {
		s.core, err = taskgroup.Restore(s.config, s.state)
	} else {
		s.core, err = command.Restore(s.config, s.state)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	subscribe := s.core.Subscribe().GetSubscribe()
	s.said = append(s.said, fmt.Sprintf("subscribe: %d tasks, %d updates",
		len(subscribe.GetUnacknowledgedTasks()), len(subscribe.GetUnacknowledgedUpdates())))
	in := executor.Recovered{Ended: map[executor.ContainerID]executor.Termination{}}
	for _, id := range alive {
		in.Live = append(in.Live, s.live[id])
	}
	s.input(in)
}

func (s *stage) wait(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	end := s.now.Add(d)
	for !s.wake.IsZero() && !s.wake.After(end) {
		s.now = s.wake
		s.input(executor.Tick{})
	}
	s.now = end
}

func (s *stage) event(e *execapi.Event) { s.input(executor.FromAgent{Event: e}) }

func (s *stage) acknowledge(task string, uuid []byte) {
	s.event(&execapi.Event{Type: execapi.Event_ACKNOWLEDGED.Enum(), Acknowledged: &execapi.Event_Acknowledged{
		TaskId: &mesos.TaskID{Value: &task}, Uuid: uuid,
	}})
}

func (s *stage) input(in executor.Input) {
	ready := s.core.Step(s.now, in)
	s.wake = ready.Wake
	if ready.State != nil {
		s.state = ready.State
	}
	for _, call := range ready.Calls {
		status := call.GetUpdate().GetStatus()
		text := fmt.Sprintf("%s %s", status.GetTaskId().GetValue(), strings.TrimPrefix(status.GetState().String(), "TASK_"))
		if status.Reason != nil {
			text += " " + strings.TrimPrefix(status.GetReason().String(), "REASON_")
		}
		if status.Healthy != nil {
			text += fmt.Sprintf(" healthy=%v", status.GetHealthy())
		}
		if status.CheckStatus != nil {
			text += " check=" + checkStatus(status.GetCheckStatus())
		}
		if status.GetMessage() != "" {
			text += fmt.Sprintf(" %q", status.GetMessage())
		}
		s.said = append(s.said, text)
	}
	for _, c := range ready.Commands {
		switch c := c.(type) {
		case executor.Launch:
			s.live[c.Task.GetTaskId().GetValue()] = c.Container
			s.said = append(s.said, "launch "+s.name(c.Container))
		case executor.Terminate:
			s.said = append(s.said, "SIGTERM "+s.name(c.Container))
		case executor.Destroy:
			s.said = append(s.said, "destroy "+s.name(c.Container))
		case executor.Probe:
			s.said = append(s.said, "probe "+s.name(c.Container)+s.noteProbe(c))
		case executor.Remove:
			s.said = append(s.said, "remove "+s.name(c.Container))
		}
	}
	if ready.Done {
		s.said = append(s.said, "done")
	}
	for _, call := range ready.Calls {
		status := call.GetUpdate().GetStatus()
		s.updates[status.GetTaskId().GetValue()] = status.GetUuid()
		if !s.hold {
			s.acknowledge(status.GetTaskId().GetValue(), status.GetUuid())
		}
	}
}

func (s *stage) name(id executor.ContainerID) string {
	var names []string
	for name, have := range s.live {
		if have == id {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}
