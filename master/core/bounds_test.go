package core

import (
	"fmt"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

func subscribed(conn ConnID, id FrameworkID) FrameworkSubscribed {
	info := &mesos.FrameworkInfo{User: ptr("u"), Name: ptr("n"), FailoverTimeout: ptr(60.0)}
	if id != "" {
		info.Id = frameworkID(id)
	}
	return FrameworkSubscribed{Conn: conn, Call: &scheduler.Call_Subscribe{FrameworkInfo: info}}
}

func TestCompletedFrameworksAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.MaxCompletedFrameworks = 3
	c := New(cfg)
	c.Step(testStart, Elected{Contents: registry.NewContents()})
	for i := range 5 {
		id := FrameworkID(fmt.Sprintf("f%d", i))
		c.Step(testStart, subscribed(ConnID(i+1), id))
		c.Step(testStart, OperatorCall{Call: Teardown{Framework: id}})
	}
	if got := c.Snapshot().CompletedFrameworks.Len(); got != 3 {
		t.Errorf("%d completed frameworks, want 3", got)
	}
	if len(c.removed) != 3 || c.removed["f0"] || !c.removed["f4"] {
		t.Errorf("refused ids are %v", c.removed)
	}
}

func TestOffersOfAnAgeAreRescinded(t *testing.T) {
	cfg := testConfig()
	cfg.OfferTimeout = 7 * time.Second
	s := &scripted{core: New(cfg), now: testStart}
	for _, line := range []string{"elect", "subscribe 1 role=r failover=60s", "link 1 10.0.0.1", "register 1 h cpus:1", "written 1",
		"offer m-0000 r m-S0 cpus:1"} {
		s.run(t, line)
	}
	got := s.run(t, "wait 8s")
	want := "+7s to scheduler 1: RESCIND m-O0"
	if len(got) != 2 || got[1] != want {
		t.Errorf("got %q, want %q at last", got, want)
	}
}

func TestAFailedRegistryWriteEndsTheTerm(t *testing.T) {
	s := &scripted{core: New(testConfig()), now: testStart}
	for _, line := range []string{"elect", "subscribe 1 role=r", "link 1 10.0.0.1", "register 1 h cpus:1"} {
		s.run(t, line)
	}
	if got := s.run(t, "failed 1"); len(got) != 1 || got[0] != "step down: registry write failed" {
		t.Errorf("got %q", got)
	}
	if got := s.run(t, `call 1 {"framework_id":{"value":"m-0000"},"type":"REVIVE"}`); len(got) != 1 || got[0] != "answer 7: 503 "+notReady {
		t.Errorf("got %q", got)
	}
	if got := s.run(t, "wait 1h"); len(got) != 0 {
		t.Errorf("a core that stepped down says %q", got)
	}
}

func TestUnreachableTasksAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.MaxUnreachableTasksPerFramework = 2
	s := &scripted{core: New(cfg), now: testStart}
	for _, line := range []string{"elect", "subscribe 1 roles=web aware failover=60s", "link 1 10.0.0.1", "register 1 h cpus:4;mem:96", "written 1",
		"offer m-0000 web m-S0 cpus:4;mem:96", "accept 1 m-0000 m-O0 m-S0 a=cpus:1 b=cpus:1 c=cpus:1", "unlink 1", "wait 10m", "written 2"} {
		s.run(t, line)
	}
	for f := range s.core.Snapshot().Frameworks.All() {
		if f.Tasks.Len() != 0 || f.UnreachableTasks.Len() != 2 {
			t.Errorf("%d tasks, %d unreachable ones, want 0 and 2", f.Tasks.Len(), f.UnreachableTasks.Len())
		}
	}
}
