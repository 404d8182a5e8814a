package oci_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestMissingRuntimeIsNamed(t *testing.T) {
	_, err := oci.New(oci.Config{Dir: t.TempDir(), Runtime: "no-such-runtime"})
	if err == nil || !strings.Contains(err.Error(), "no-such-runtime is not installed") {
		t.Errorf("got %v", err)
	}
}

func TestRuntimeThatRefusesLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		request := r.Request("refused", "true")
		request.Spec.Mounts = append(request.Spec.Mounts, specs.Mount{Destination: "/x", Source: "/no/such/source", Type: "bind", Options: []string{"rbind"}})
		_, err := r.Start(r.Context(), request)
		if err == nil || !strings.Contains(err.Error(), "/no/such/source") {
			t.Errorf("got %v, want the runtime's reason", err)
		}
		for _, sub := range []string{"containers", "runtime"} {
			if left, _ := os.ReadDir(filepath.Join(r.Dir, sub)); len(left) != 0 {
				t.Errorf("%s has %v", sub, left)
			}
		}
		if list, _ := r.List(r.Context()); len(list) != 0 {
			t.Errorf("left %+v", list)
		}
	})
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		for i, after := range []time.Duration{0, 2 * time.Millisecond, 8 * time.Millisecond, 20 * time.Millisecond, 35 * time.Millisecond} {
			id := "cancelled" + string(rune('a'+i))
			ctx, cancel := context.WithTimeout(r.Context(), after)
			_, err := r.Start(ctx, r.Request(id, "sleep 1000"))
			cancel()
			if err == nil {
				err = r.Destroy(r.Context(), id)
				if err == nil {
					err = r.Remove(r.Context(), id)
				}
				if err != nil {
					t.Error(err)
				}
			}
			for _, sub := range []string{"containers", "runtime"} {
				if left, _ := os.ReadDir(filepath.Join(r.Dir, sub)); len(left) != 0 {
					t.Errorf("after %v: %s has %v", after, sub, left)
				}
			}
		}
	})
}
