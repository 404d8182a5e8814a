package native_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher/launchertest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestAContainerThatRunsHasItsShare: it has more while it is made. A launcher that died before the end of that leaves it
// to the next; what has been changed since stays.
func TestAContainerThatRunsHasItsShare(t *testing.T) {
	r := launchertest.NewRig(t, open)
	shares := uint64(512)
	request := r.Request("sharer", "echo up; sleep 1000")
	request.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &shares}
	if _, err := r.Start(r.Context(), request); err != nil {
		t.Fatal(err)
	}
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	group := h.At(request.Spec.Linux.CgroupsPath)
	expect := func(when, v1, v2 string) {
		t.Helper()
		file, want := filepath.Join(group.Paths["cpu"], "cpu.shares"), v1
		if h.V2 {
			file, want = filepath.Join(group.Paths[""], "cpu.weight"), v2
		}
		if got, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s: share %q, %v; want %s", when, got, err, want)
		}
	}
	expect("running", "512", "50")
	if err := group.Hurry(); err != nil {
		t.Fatal(err)
	}
	expect("being made", "262143", "9999")
	r.Reopen()
	expect("adopted", "512", "50")
	if err := group.SetShares(2048); err != nil {
		t.Fatal(err)
	}
	r.Reopen()
	expect("updated and adopted", "2048", "200")
}
