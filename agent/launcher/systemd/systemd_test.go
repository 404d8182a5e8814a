package systemd

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func needRoot(t *testing.T) context.Context {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: systemd answers root only")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAScopeIsAskedFor(t *testing.T) {
	ctx := needRoot(t)
	m := newManager(t)
	scope, err := Enter(ctx, m.socket, "agora-launcher-ab12")
	if want := "agora-launcher-ab12-" + strconv.Itoa(os.Getpid()) + ".scope"; err != nil || scope != want {
		t.Fatalf("scope %q, %v; want %q", scope, err, want)
	}
	got := m.units[scope]
	for name, want := range map[string]any{"mode": "fail", "Slice": "mesos_executors.slice", "Delegate": true, "PIDs": []uint32{uint32(os.Getpid())},
		"CollectMode": "inactive-or-failed", "TasksMax": ^uint64(0)} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if version, err := Probe(ctx, m.socket); err != nil || version != "252 (fake)" {
		t.Errorf("version %q, %v", version, err)
	}
}

func TestAScopeThatIsNotMadeIsAnError(t *testing.T) {
	ctx := needRoot(t)
	refusing, failing := newManager(t), newManager(t)
	refusing.refuse, failing.result = "Unit x.scope was already loaded", "failed"
	for socket, want := range map[string]string{refusing.socket: "was already loaded", failing.socket: `systemd says "failed"`, filepath.Join(t.TempDir(), "none"): "no such file"} {
		if _, err := Enter(ctx, socket, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestUnitOfAProcess(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/system.slice/agora-agent.service\n":                                          "agora-agent.service",
		"0::/mesos_executors.slice/agora-launcher-ab-7.scope/sub\n":                       "agora-launcher-ab-7.scope",
		"5:cpu:/agora/x\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n0::/\n": "session-3.scope",
		"5:cpu:/system.slice/other.service\n1:name=systemd:/\n0::/system.slice\n":         "",
		"": "",
	} {
		if got := Unit(cgroup); got != want {
			t.Errorf("%q: got %q, want %q", cgroup, got, want)
		}
	}
}

func TestSystemdRunsWhereItsDirectoryIs(t *testing.T) {
	dir := t.TempDir()
	if !Running(dir) || Running(filepath.Join(dir, "none")) {
		t.Error("the directory does not decide")
	}
}
