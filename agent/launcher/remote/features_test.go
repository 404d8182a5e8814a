package remote_test

import (
	"errors"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/remote"
)

func TestNewerAgentIsToldToRestartTheLauncher(t *testing.T) {
	r := launchertest.NewRig(t, open)
	for want, words := range map[string]map[string]any{
		"launcher speaks version 2, the agent 3: restart the launcher": {"Version": remote.Version + 1, "Method": "list", "Wish": "x"},
		`unknown field "sky"`:   {"Version": 1, "Method": "start", "Start": map[string]any{"ID": "c", "Spec": map[string]any{"linux": map[string]any{"sky": "blue"}}}},
		`launcher has no wings`: {"Version": 2, "Method": "start", "Start": map[string]any{"ID": "c"}, "Needs": []string{"wings"}},
	} {
		if err := r.Launcher.(*process).Say(r.Context(), words); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", words, err, want)
		}
	}
	if err := r.Launcher.(*process).Say(r.Context(), map[string]any{"Version": 1, "Method": "list", "Wish": "x"}); err != nil {
		t.Errorf("a word beside the description of a container: %v", err)
	}
	if list, err := r.List(r.Context()); err != nil || len(list) != 0 {
		t.Errorf("containers %v, %v", list, err)
	}
}

// A launcher of an earlier build starts what it knows, and is not asked for what it would drop.
func TestWhatALauncherWouldDropIsRefused(t *testing.T) {
	for _, role := range []string{"old-launcher", "poor-launcher"} {
		t.Run(role, func(t *testing.T) {
			r := launchertest.NewRig(t, func(t testing.TB, dir string) (launcher.Launcher, func()) {
				p := startAs(t, role, dir, "0s")
				return p, p.kill
			})
			plain := r.Request("plain", "echo hello")
			if len(launcher.Needs(plain, unified(t))) == 0 { // on cgroup v2 every container has rules of devices
				if exit, out := r.Run(plain); exit.Status != 0 || out != "hello\n" {
					t.Errorf("ended with %+v, said %q", exit, out)
				}
			}
			for what, change := range map[string]func(*specs.Spec){
				launcher.UserNamespaces: func(s *specs.Spec) {
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
					s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1 << 20, Size: 1 << 16}}
				},
				launcher.Controllers: func(s *specs.Spec) {
					s.Linux.Resources.Network = &specs.LinuxNetwork{ClassID: new(uint32)}
				},
			} {
				request := r.Request("more", "true")
				change(request.Spec)
				_, err := r.Start(r.Context(), request)
				if !errors.Is(err, launcher.ErrTooOld) || !strings.Contains(err.Error(), "it has no ") || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "drain the agent") {
					t.Errorf("%s: got %v", what, err)
				}
			}
		})
	}
}

func TestAnAgentHearsWhatItsLauncherLacks(t *testing.T) {
	for role, want := range map[string]int{"launcher": 0, "poor-launcher": 2, "old-launcher": 3} {
		var keeper *remote.Keeper
		launchertest.NewRig(t, keepingAs(role, "native", &keeper))
		if lacks, err := keeper.Lacks(t.Context()); err != nil || len(lacks) != want {
			t.Errorf("%s lacks %q, %v; want %d", role, lacks, err, want)
		}
	}
}

func unified(t *testing.T) bool {
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	return h.V2
}
