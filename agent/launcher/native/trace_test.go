package native_test

import (
	"slices"
	"testing"

	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launchtrace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestStartTellsItsSteps also with a filter that refuses to read the clock and to write files: what is measured in the
// shim is measured before.
func TestStartTellsItsSteps(t *testing.T) {
	r := launchertest.NewRig(t, open)
	all := []launchtrace.Step{launchtrace.Record, launchtrace.Cgroups, launchtrace.Program, launchtrace.Clone, launchtrace.Join, launchtrace.RootFS,
		launchtrace.Mounts, launchtrace.Devices, launchtrace.Masks, launchtrace.Pivot, launchtrace.Fork, launchtrace.Identity, launchtrace.Exec}
	refused := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
		Syscalls: []specs.LinuxSyscall{{Names: []string{"clock_gettime", "pwrite64"}, Action: specs.ActKillProcess}}}
	for _, c := range []struct {
		name   string
		filter *specs.LinuxSeccomp
		nnp    bool
		want   []launchtrace.Step
	}{
		{"ordinary", nil, true, all},
		{"strict", refused, true, all},
		// The filter comes before the identity then.
		{"strict-first", refused, false, slices.DeleteFunc(slices.Clone(all), func(s launchtrace.Step) bool { return s == launchtrace.Identity })},
	} {
		request := r.Request(c.name, "exit 3")
		if c.filter != nil {
			request.Spec.Linux.Seccomp = c.filter
		}
		request.Spec.Process.NoNewPrivileges = c.nnp
		trace := launchtrace.New(launchtrace.Now())
		if _, err := r.Start(launchtrace.With(r.Context(), trace), request); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if exit, err := r.Wait(r.Context(), c.name); err != nil || exit.Status != 3<<8 {
			t.Errorf("%s: %+v, %v", c.name, exit, err)
		}
		var got []launchtrace.Step
		for _, d := range trace.Durations() {
			if got = append(got, d.Step); d.Took < 0 {
				t.Errorf("%s: %s took %v", c.name, d.Step, d.Took)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: steps\n%v, want\n%v", c.name, got, c.want)
		}
		if total, now := trace.Total(), launchtrace.Now(); total <= 0 || launchtrace.Time(total) > now {
			t.Errorf("%s: total %v", c.name, total)
		}
	}
}

func TestAPauseTellsItsSteps(t *testing.T) {
	r := launchertest.NewRig(t, open)
	request := r.Request("pod", "")
	request.Pause, request.Spec.Process = true, nil
	trace := launchtrace.New(launchtrace.Now())
	if _, err := r.Start(launchtrace.With(r.Context(), trace), request); err != nil {
		t.Fatal(err)
	}
	if steps := trace.Durations(); len(steps) < 4 || steps[len(steps)-1].Step != launchtrace.Exec {
		t.Errorf("steps: %v", steps)
	}
}
