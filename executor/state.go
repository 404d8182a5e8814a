package executor

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor/checks"
)

// record is the form of Tasks on disk. Times are distances from the boot of the
// machine; 0 means none.
type record struct {
	Killing   bool         `json:"killing,omitempty"`
	Tasks     []taskRecord `json:"tasks,omitempty"`
	Updates   [][]byte     `json:"updates,omitempty"`   // TaskStatus
	Unclaimed []string     `json:"unclaimed,omitempty"` // tasks without an acknowledged update
	Extra     any          `json:"extra,omitempty"`
}

type taskRecord struct {
	Info      []byte          `json:"info"` // TaskInfo
	Container ContainerID     `json:"container"`
	Group     int             `json:"group,omitempty"`
	Phase     phase           `json:"phase"`
	Killing   bool            `json:"killing,omitempty"`
	TimedOut  bool            `json:"timed_out,omitempty"`
	ForceAt   time.Duration   `json:"force_at,omitempty"`
	FinishBy  time.Duration   `json:"finish_by,omitempty"`
	Final     mesos.TaskState `json:"final,omitempty"`
	Checks    *checks.Record  `json:"checks,omitempty"`
}

// Encode writes the tasks, with extra facts of the core, for Decode.
func (s *Tasks) Encode(extra any) []byte {
	out := record{Killing: s.Killing, Extra: extra}
	for _, t := range s.All {
		out.Tasks = append(out.Tasks, taskRecord{
			Info: encode(t.Info), Container: t.Container, Group: t.Group, Phase: t.phase,
			Killing: t.killing, TimedOut: t.timedOut, Final: t.final,
			ForceAt: s.distance(t.forceAt), FinishBy: s.distance(t.finishBy), Checks: t.checks.Record(s.Config.Boot),
		})
	}
	for _, u := range s.Outbox.updates {
		out.Updates = append(out.Updates, encode(u))
	}
	for _, t := range s.Outbox.tasks {
		out.Unclaimed = append(out.Unclaimed, t.GetTaskId().GetValue())
	}
	data, err := json.Marshal(out)
	if err != nil {
		panic(err) // the types above can always be encoded
	}
	return data
}

// Decode is the inverse of Encode; extra points to what Encode got.
func Decode(config Config, data []byte, extra any) (*Tasks, error) {
	in := record{Extra: extra}
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("decode executor %s: %w", config.ExecutorID, err)
	}
	s := NewTasks(config)
	s.Killing = in.Killing
	for _, r := range in.Tasks {
		info := &mesos.TaskInfo{}
		if err := info.UnmarshalVT(r.Info); err != nil {
			return nil, fmt.Errorf("decode executor %s: task: %w", config.ExecutorID, err)
		}
		s.All = append(s.All, &Task{
			Info: info, Container: r.Container, Group: r.Group, phase: r.Phase,
			killing: r.Killing, timedOut: r.TimedOut, final: r.Final,
			forceAt: s.instant(r.ForceAt), finishBy: s.instant(r.FinishBy),
			checks: checks.Restore(info, r.Checks, s.Config.Boot),
		})
	}
	for _, raw := range in.Updates {
		status := &mesos.TaskStatus{}
		if err := status.UnmarshalVT(raw); err != nil {
			return nil, fmt.Errorf("decode executor %s: update: %w", config.ExecutorID, err)
		}
		s.Outbox.updates = append(s.Outbox.updates, status)
	}
	for _, id := range in.Unclaimed {
		if t := s.Task(id); t != nil {
			s.Outbox.tasks = append(s.Outbox.tasks, t.Info)
		}
	}
	return s, nil
}

func (s *Tasks) distance(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return t.Sub(s.Config.Boot)
}

func (s *Tasks) instant(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return s.Config.Boot.Add(d)
}

func encode(m proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // only values that were decoded, or are complete, come here
	}
	return data
}
