package golden

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"google.golang.org/protobuf/proto"
)

// history is what was recorded of one master, one after the other.
func history(t *testing.T, report *Report) {
	c := newCluster(t, report)
	c.startAgent(t)
	c.schedulerScenario(t)
	c.maintenance(t, func() { c.queries(t, "after-maintenance", "master") })
	c.startAgent(t)
	c.drain(t)
	c.startAgent(t, func(cfg *agent.Config) { cfg.Isolation = "cgroups/cpu,cgroups/mem" })
	c.cgroups(t)
}

// schedulerScenario is the long conversation, with the operator's streams beside it and all
// queries in its middle.
func (c *cluster) schedulerScenario(t *testing.T) {
	c.Rewrite = ownExecutor
	operators := []*Player{c.start(t, "operator-subscribe/stream-json.log"), c.startProtobuf(t)}
	p := c.start(t, "scheduler-api/conversation-json.log")
	executor := make(chan struct{})
	var second *Player
	p.At = func(line Line) {
		switch {
		case eventKey(line.Call) == "ACCEPT" && bytes.Contains(line.Call, []byte(`"custom-exec"`)):
			go func() {
				defer close(executor)
				c.customExecutor(t)
			}()
		case strings.HasPrefix(line.Remark, "failover: second SUBSCRIBE"):
			second = c.start(t, "scheduler-api/failover-second-subscription.log")
		}
	}
	p.Play(t.Context(), func(line Line) bool { return eventKey(line.Call) == "KILL c1" })
	c.queries(t, "with-tasks", "master", "agent")
	c.folders(t, "agent-nested")
	c.play(t, "agent-nested/LAUNCH_NESTED_CONTAINER_SESSION.log")
	p.Play(t.Context(), nil)
	p.Rest()
	if second != nil {
		second.Play(t.Context(), nil)
		second.Rest()
	}
	c.play(t, "scheduler-api/resubscribe-after-teardown.log")
	c.protobufScheduler(t)
	for _, operator := range operators {
		operator.Patience = time.Second
		operator.Play(t.Context(), nil)
		operator.Rest()
	}
	select {
	case <-executor:
	case <-time.After(patience):
		t.Error("the executor has not ended")
	}
}

// queries replays all queries in one situation.
func (c *cluster) queries(t *testing.T, situation string, components ...string) {
	for _, component := range components {
		for _, version := range []string{"v0", "v1", "v1-pb"} {
			all, err := Exchanges(*recordings, situation+"/"+component+"-"+version)
			if err != nil {
				t.Fatal(err)
			}
			for _, exchange := range all {
				// That one was recorded in another situation.
				if !strings.Contains(exchange.Name, "pending-ack") {
					c.Exchange(t.Context(), exchange)
				}
			}
		}
	}
}

func (c *cluster) startProtobuf(t *testing.T) *Player {
	return c.startAs(t, "operator-subscribe/stream-protobuf-base64.log", &master.Call{Type: master.Call_SUBSCRIBE.Enum()},
		func() proto.Message { return new(master.Event) })
}

// protobufScheduler is a framework that speaks protobuf.
func (c *cluster) protobufScheduler(t *testing.T) {
	p := c.startAs(t, "scheduler-api/conversation-protobuf-base64.log", &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(),
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("pb"), Roles: []string{"pbrole"},
			Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}}},
		func() proto.Message { return new(scheduler.Event) })
	p.Play(t.Context(), nil)
	p.Rest()
	p.Close()
}

func (c *cluster) startAs(t *testing.T, name string, call proto.Message, event func() proto.Message) *Player {
	t.Helper()
	conversation, err := ReadConversation(*recordings, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := conversation.protobuf(call, event); err != nil {
		t.Fatal(err)
	}
	p, err := c.Start(t.Context(), conversation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

var recordedTime = regexp.MustCompile(`"timestamp": 17[0-9.]+`)

// ownExecutor puts the stand-in in the place of the recorded executor, and the present in that of its times. Of a task's
// two first probes, which ran at once, the health check was the first to be heard of: here the other begins later.
func ownExecutor(call []byte) []byte {
	call = bytes.ReplaceAll(call, []byte(recordedMissing), []byte(standInMissing))
	call = bytes.ReplaceAll(call, []byte(`trap \"\" TERM`), []byte(standInTrap))
	call = bytes.ReplaceAll(call, []byte(`"exit 7"}}, "delay_seconds": 0.1`), []byte(`"exit 7"}}, "delay_seconds": 0.6`))
	call = recordedTime.ReplaceAll(call, fmt.Appendf(nil, `"timestamp": %f`, float64(time.Now().UnixMicro())/1e6))
	return bytes.ReplaceAll(call, []byte(recordedExecutor), []byte(standInExecutor))
}

func (c *cluster) customExecutor(t *testing.T) {
	const name = "executor-api/conversation.log"
	pattern := filepath.Join(c.work, "slaves/*/frameworks/*/executors/custom-exec/runs/*/env.txt")
	var found []string
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); len(found) == 0 && time.Now().Before(deadline); <-tick.C {
		found, _ = filepath.Glob(pattern)
	}
	if len(found) == 0 {
		c.Report.Add(name+"#0 environment", []Difference{{"event", "executor started", "nothing"}})
		return
	}
	settled(t, found[0], tick)
	c.compareEnvironment(t, name, found[0])
	conversation, err := ReadConversation(*recordings, name)
	if err != nil {
		t.Error(err)
		return
	}
	p, err := c.Start(t.Context(), conversation)
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Close()
	p.Patience = 90 * time.Second // its KILL comes after all the queries
	p.Play(t.Context(), nil)
	p.Rest()
	if err := os.WriteFile(filepath.Join(filepath.Dir(found[0]), "exit"), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// settled waits until a file that is being written stays as it is.
func settled(t *testing.T, file string, tick *time.Ticker) {
	before := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			return
		}
		if before != "" && before == string(text) && strings.HasSuffix(before, "\n") {
			return
		}
		before = string(text)
	}
}

// compareEnvironment compares the names of the variables that an executor gets.
func (c *cluster) compareEnvironment(t *testing.T, name, file string) {
	recorded, err := os.ReadFile(filepath.Join(*recordings, name))
	if err != nil {
		t.Error(err)
		return
	}
	ours, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	_, text, _ := bytes.Cut(recorded, []byte("environment: "))
	text, _, _ = bytes.Cut(text, []byte("\n}"))
	want, err := decode(append(text, []byte("\n}")...))
	if err != nil {
		t.Error(err)
		return
	}
	have := map[string]any{}
	for line := range strings.Lines(string(ours)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && (strings.HasPrefix(key, "MESOS_") || strings.HasPrefix(key, "LIBPROCESS_")) {
			have[key] = value
		}
	}
	cmp := comparison{pairs: map[string]string{}}
	cmp.value("environment", want, have)
	c.Report.Add(name+"#0 environment", cmp.found)
}
