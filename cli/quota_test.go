package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/master"
)

// realMaster runs a master on a free port, and gives its address.
func realMaster(t *testing.T) string {
	t.Helper()
	config := master.NewConfig()
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
		if code, _, _ := run(t, "--master", m.Addr(), "role", "ls"); code == 0 {
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
