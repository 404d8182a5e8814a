package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/agora/why"
	"agora.dev/agora/master"
)

// realMaster runs a master on a free port, and gives its address.
func realMaster(t *testing.T) string { return realMasterWith(t, master.NewConfig()) }

// realMasterWith runs one with other options; credentials are arguments that it asks commands for.
func realMasterWith(t *testing.T, config master.Config, credentials ...string) string {
	t.Helper()
	config.Port = 0
	m, err := master.New(config, master.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("master: %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		if code, _, _ := run(t, append(credentials, "--master", m.Addr(), "role", "ls")...); code == 0 {
			return m.Addr()
		}
		if time.Now().After(deadline) {
			t.Fatal("the master does not lead")
		}
	}
}

func TestQuotasWeightsAndRolesOfARealMaster(t *testing.T) {
	addr := realMaster(t)
	agora := func(want int, args ...string) string {
		t.Helper()
		code, out, stderr := run(t, append([]string{"--master", addr}, args...)...)
		if code != want {
			t.Fatalf("agora %v: exit %d, want %d: %s", args, code, want, stderr)
		}
		return out + stderr
	}
	agora(0, "quota", "set", "web", "--limit", "cpus=8,mem=16384")
	agora(0, "weight", "set", "web=2", "batch=0.5")
	if got := agora(0, "quota", "ls"); !strings.Contains(got, "web    mem        -           16384   0") {
		t.Errorf("quota ls:\n%s", got)
	}
	var quotas []roleQuota
	if err := json.Unmarshal([]byte(agora(0, "quota", "ls", "-o", "json")), &quotas); err != nil || len(quotas) != 1 || quotas[0].Limit["cpus"] != 8 {
		t.Errorf("quota ls -o json: %v %v", quotas, err)
	}
	var weights []roleWeight
	if err := json.Unmarshal([]byte(agora(0, "weight", "ls", "-o", "json")), &weights); err != nil || len(weights) != 2 || weights[0] != (roleWeight{"batch", 0.5}) {
		t.Errorf("weight ls -o json: %v %v", weights, err)
	}
	if got := agora(0, "role", "show", "web"); !strings.Contains(got, "cpus:8 mem:16384") || !strings.Contains(got, "weight") {
		t.Errorf("role show:\n%s", got)
	}
	if got := agora(0, "__complete", "quota", "rm", "w"); !strings.Contains(got, "web\n") || strings.Contains(got, "batch") {
		t.Errorf("completion:\n%s", got)
	}
	if got := agora(ExitFailure, "quota", "set", "web", "--guarantee", "cpus=1000"); !strings.Contains(got, "use 'force' flag") {
		t.Errorf("more than the cluster has: %s", got)
	}
	agora(0, "quota", "rm", "web")
	if got := agora(ExitFailure, "quota", "rm", "web"); !strings.Contains(got, "Role 'web' has no quota set") {
		t.Errorf("removed twice: %s", got)
	}
	agora(ExitNotFound, "role", "show", "nobody")
	for _, args := range [][]string{{"quota", "set", "web"}, {"quota", "set", "web", "--limit", "cpus"}, {"weight", "set", "web"}, {"weight", "set"}, {"quota"}} {
		agora(ExitUsage, args...)
	}
}

func TestWhyAsksARealMaster(t *testing.T) {
	addr := realMaster(t)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{ExitNotFound, "No framework has the role 'web'", []string{"why", "role", "web"}},
		{ExitNotFound, "No task 'x'", []string{"why", "task", "x"}},
		{ExitNotFound, "agora framework ls", []string{"why", "framework", "x"}},
		{ExitNotFound, "agora framework ls", []string{"framework", "offers", "x"}},
		{ExitUsage, "NAME=AMOUNT", []string{"why", "role", "web", "--need", "cpus"}},
		{ExitUsage, "", []string{"why"}},
	} {
		if code, out, stderr := run(t, append([]string{"--master", addr}, c.args...)...); code != c.code || !strings.Contains(out+stderr, c.says) {
			t.Errorf("agora %v: exit %d %q, want %d %q", c.args, code, out+stderr, c.code, c.says)
		}
	}
}

func TestWhySaysCauseAndRemedyFirst(t *testing.T) {
	var answer why.Answer
	if err := json.Unmarshal([]byte(`{"task":{"id":"t","state":"TASK_FAILED","message":"oom","summary":"The task has ended."},"more":3,"frameworks":[{"name":"f",
		"roles":[{"role":"r","summary":"None of 1 agents.","change":"Add an agent.","agents":[{"hostname":"h","verdict":"IN_USE","lacks":{"cpus":2}}]}]}]}`), &answer); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	a := &App{Out: &out}
	if err := a.printWhy(answer); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Task t, TASK_FAILED: The task has ended.\noom\n", "f in role r: None of 1 agents.\nWhat would help: Add an agent.\n", "h       IN_USE    cpus:2", "3 more frameworks"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
