package master_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/master"
)

func TestTaskRunsFromOfferToAcknowledgedKill(t *testing.T) {
	for _, media := range []codec.MediaType{codec.JSON, codec.Protobuf} {
		t.Run(string(media), func(t *testing.T) {
			m := startMaster(t, master.Deps{})
			f := subscribe(t, m, media, nil)
			a := startAgent(t, m)
			offer := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
			task := commandTask("t1", a.id)
			f.accept(offer, task)
			run := a.recv().GetRunTask()
			if run.GetTask().GetTaskId().GetValue() != "t1" {
				t.Fatalf("agent got %v", run)
			}
			a.update(f.id, task.TaskId, mesos.TaskState_TASK_RUNNING)
			status := f.expect(scheduler.Event_UPDATE).GetUpdate().GetStatus()
			if status.GetState() != mesos.TaskState_TASK_RUNNING {
				t.Fatalf("status %v", status)
			}
			f.acknowledge(a.id, status)
			if ack := a.recv().GetAcknowledgeUpdate(); string(ack.GetUuid()) != string(status.GetUuid()) {
				t.Fatalf("agent got %v, want the acknowledgement", ack)
			}
			if _, state := get(t, m, "/state"); !strings.Contains(state, `"state":"TASK_RUNNING"`) {
				t.Errorf("/state does not show the task: %s", state)
			}
			f.call(&scheduler.Call{Type: scheduler.Call_KILL.Enum(), Kill: &scheduler.Call_Kill{TaskId: task.TaskId, AgentId: a.id}})
			if kill := a.recv().GetKillTask(); kill.GetTaskId().GetValue() != "t1" {
				t.Fatalf("agent got %v, want the kill", kill)
			}
			a.update(f.id, task.TaskId, mesos.TaskState_TASK_KILLED)
			status = f.expect(scheduler.Event_UPDATE).GetUpdate().GetStatus()
			if status.GetState() != mesos.TaskState_TASK_KILLED {
				t.Fatalf("status %v", status)
			}
			f.acknowledge(a.id, status)
			a.recv()
			if _, metrics := get(t, m, "/metrics/snapshot"); !strings.Contains(metrics, `"master/tasks_killed":1.0`) {
				t.Errorf("metrics do not count the kill: %s", metrics)
			}
		})
	}
}

func TestSecondSubscriptionOfAFrameworkTakesOver(t *testing.T) {
	m := startMaster(t, master.Deps{})
	first := subscribe(t, m, codec.JSON, nil)
	second := subscribe(t, m, codec.JSON, first.id)
	if event := first.expect(scheduler.Event_ERROR); event.GetError().GetMessage() != "Framework failed over" {
		t.Errorf("got %v", event)
	}
	if _, err := first.records.Read(); err == nil {
		t.Error("the old stream goes on")
	}
	second.call(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum()})
	first.id = second.id
	response := first.post(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum(), FrameworkId: first.id})
	response.Body.Close()
	if response.StatusCode != 400 {
		t.Errorf("a call with the old stream id: %s", response.Status)
	}
}

func TestStalledOperatorStreamDoesNotHoldUpFrameworks(t *testing.T) {
	m := startMaster(t, master.Deps{})
	slow, err := net.Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	body := `{"type":"SUBSCRIBE"}`
	slow.Write([]byte("POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + body))
	f := subscribe(t, m, codec.JSON, nil)
	f.call(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum()})
}

func TestOperatorStreamBeginsWithTheStateAndContinuesWithChanges(t *testing.T) {
	m := startMaster(t, master.Deps{})
	a := startAgent(t, m)
	r, err := http.Post("http://"+m.Addr()+"/api/v1", "application/json", strings.NewReader(`{"type":"SUBSCRIBE"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	stream := newEvents(r.Body)
	if first := stream.next(t); !strings.Contains(first, `"type":"SUBSCRIBED"`) || !strings.Contains(first, a.id.GetValue()) {
		t.Fatalf("first event %s", first)
	}
	if second := stream.next(t); second != `{"type":"HEARTBEAT"}` {
		t.Fatalf("second event %s", second)
	}
	subscribe(t, m, codec.JSON, nil)
	if third := stream.next(t); !strings.Contains(third, `"type":"FRAMEWORK_ADDED"`) {
		t.Fatalf("third event %s", third)
	}
}

func TestTeardownByOperatorEndsTheStream(t *testing.T) {
	m := startMaster(t, master.Deps{})
	f := subscribe(t, m, codec.JSON, nil)
	r, err := http.Post("http://"+m.Addr()+"/master/teardown", "application/x-www-form-urlencoded", strings.NewReader("frameworkId="+f.id.GetValue()))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 200 {
		t.Fatalf("teardown: %s", r.Status)
	}
	for {
		if _, err := f.records.Read(); err != nil {
			break
		}
	}
	if _, text := get(t, m, "/frameworks"); !strings.Contains(text, `"frameworks":[],"completed_frameworks":[{`) {
		t.Errorf("frameworks: %s", text)
	}
}

func TestAdmittedAgentIsRecoveredByTheNextMaster(t *testing.T) {
	store := memkv.New()
	var id string
	t.Run("first", func(t *testing.T) {
		id = startAgent(t, startMaster(t, master.Deps{Store: store})).id.GetValue()
	})
	m := startMaster(t, master.Deps{Store: store})
	if _, text := get(t, m, "/slaves"); !strings.Contains(text, `"recovered_slaves":[{"id":"`+id) {
		t.Errorf("slaves: %s", text)
	}
}

func TestPortInUseIsOneClearLine(t *testing.T) {
	m := startMaster(t, master.Deps{})
	cfg := master.NewConfig()
	cfg.Port = int(m.Info().GetPort())
	_, err := master.New(cfg, master.Deps{})
	if err == nil || !strings.Contains(err.Error(), "the port is in use") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v", err)
	}
}

func TestMasterRefusesToListenOpenly(t *testing.T) {
	_, err := master.Parse([]string{"--ip=0.0.0.0"}, nil)
	if err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Fatalf("got %v", err)
	}
	cfg, err := master.Parse([]string{"--ip", "0.0.0.0", "--insecure", "--weights=a=2,b=0.5", "--agent_ping_timeout=20secs"}, []string{"MESOS_CLUSTER=x"})
	if err != nil || cfg.Weights["a"] != 2 || cfg.AgentPingTimeout != 20*time.Second || cfg.Cluster != "x" || cfg.FlagValues["insecure"] != "true" {
		t.Fatalf("got %+v %v", cfg, err)
	}
}
