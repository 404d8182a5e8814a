package containerizertest

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
)

// Host is a containerizer under test, and how to describe a container to it that
// runs until it is ended. Calling again with the same state recovers.
type Host struct {
	containerizer.Containerizer
	// Sleeper returns the specification of a container that sleeps.
	Sleeper func(id containerizer.ID) containerizer.Spec
}

// Run checks a containerizer against the contract.
func Run(t *testing.T, open func(*testing.T) Host) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, context.Context, Host)
	}{
		{"DestroyEndsIt", destroyEnds}, {"SignalEndsIt", signalEnds}, {"SecondLaunchIsRefused", secondLaunch},
		{"ParentMustRun", parentMustRun}, {"ChildrenEndWithTheParent", childrenEnd}, {"RemoveForgets", removeForgets},
		{"UnknownOnesAreErrors", unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			c.run(t, ctx, open(t))
		})
	}
}

func launch(t *testing.T, ctx context.Context, h Host, id containerizer.ID) {
	t.Helper()
	if pid, err := h.Launch(ctx, h.Sleeper(id)); err != nil || pid <= 0 {
		t.Fatalf("launch %s: pid %d, %v", id, pid, err)
	}
}

func wait(t *testing.T, ctx context.Context, h Host, id containerizer.ID) syscall.WaitStatus {
	t.Helper()
	end, err := h.Wait(ctx, id)
	if err != nil || end.Status == nil {
		t.Fatalf("wait %s: %+v, %v", id, end, err)
	}
	return syscall.WaitStatus(*end.Status)
}

func destroyEnds(t *testing.T, ctx context.Context, h Host) {
	launch(t, ctx, h, "one")
	for range 2 {
		if err := h.Destroy(ctx, "one"); err != nil {
			t.Fatal(err)
		}
	}
	if status := wait(t, ctx, h, "one"); status.Signal() != syscall.SIGKILL {
		t.Errorf("status %v, want death by SIGKILL", status)
	}
	wait(t, ctx, h, "one")
}

func signalEnds(t *testing.T, ctx context.Context, h Host) {
	launch(t, ctx, h, "one")
	if err := h.Signal(ctx, "one", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, ctx, h, "one"); status.Signal() != syscall.SIGTERM {
		t.Errorf("status %v, want death by SIGTERM", status)
	}
}

func secondLaunch(t *testing.T, ctx context.Context, h Host) {
	launch(t, ctx, h, "one")
	if _, err := h.Launch(ctx, h.Sleeper("one")); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("got %v", err)
	}
}

func parentMustRun(t *testing.T, ctx context.Context, h Host) {
	if _, err := h.Launch(ctx, h.Sleeper("none.child")); err == nil {
		t.Error("a child without a parent was launched")
	}
}

func childrenEnd(t *testing.T, ctx context.Context, h Host) {
	launch(t, ctx, h, "pod")
	launch(t, ctx, h, "pod.a")
	launch(t, ctx, h, "pod.b")
	if err := h.Destroy(ctx, "pod"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []containerizer.ID{"pod.a", "pod.b", "pod"} {
		wait(t, ctx, h, id)
	}
}

func removeForgets(t *testing.T, ctx context.Context, h Host) {
	launch(t, ctx, h, "one")
	if err := h.Remove(ctx, "one"); err == nil {
		t.Error("a running container was removed")
	}
	if err := h.Destroy(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	wait(t, ctx, h, "one")
	if err := h.Remove(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	launch(t, ctx, h, "one")
}

func unknown(t *testing.T, ctx context.Context, h Host) {
	if _, err := h.Wait(ctx, "none"); !errors.Is(err, containerizer.ErrUnknown) {
		t.Errorf("wait for an unknown container: %v", err)
	}
	if err := h.Destroy(ctx, "none"); !errors.Is(err, containerizer.ErrUnknown) {
		t.Errorf("destroy of an unknown container: %v", err)
	}
}
