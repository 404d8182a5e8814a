package linux_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// hostile are containers that take what they can, with how they end by themselves; those without an end are destroyed.
// What fills disks and floods logs is elsewhere.
var hostile = []struct {
	name, script string
	limitation   mesos.TaskStatus_Reason
	code         int
}{
	{name: "forks", script: `bomb() { bomb | bomb & }; bomb; sleep 1000`},
	{name: "hogs-memory", script: `dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 1000`, limitation: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY},
	{name: "fills-shm", script: `dd if=/dev/zero of=/dev/shm/file bs=1M 2>/dev/null; echo full; sleep 1000`},
	{name: "hogs-files", script: `ulimit -n 1024; i=10; while eval "exec $i</dev/null"; do i=$((i+1)); done; sleep 1000`, code: -1},
	{name: "keeps-zombies", script: `(while :; do (exit 0) & done) & exec sleep 1000`},
	{name: "ignores-signals", script: `trap '' TERM INT HUP QUIT; while :; do sleep 1; done`},
	{name: "burns-cpu", script: `while :; do :; done & while :; do :; done`},
	{name: "kills-everybody", script: `kill -9 -1; sleep 1000`},
	{name: "stops-itself", script: `kill -STOP -1; kill -STOP $$; sleep 1000`},
	{name: "holds-its-output", script: `(trap '' HUP TERM; sleep 1000) & exit 7`, code: 7},
}

// TestHostileNeighboursTouchOnlyThemselves runs all of them at once beside a container that counts, and asks for everything that
// an agent is asked for meanwhile.
func TestHostileNeighboursTouchOnlyThemselves(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		quiet := withImage(w.spec("quiet", `while :; do echo tick; usleep 10000; done`))
		if _, err := w.Launch(w.ctx, quiet); err != nil {
			t.Fatal(err)
		}
		for _, h := range hostile {
			s := withImage(w.spec(h.name, h.script))
			s.Resources = []*mesos.Resource{resource("cpus", 0.1), resource("mem", 64)}
			if _, err := w.Launch(w.ctx, s); err != nil {
				t.Fatalf("launch %s: %v", h.name, err)
			}
		}
		before := ticks(quiet)
		for i := range 2 { // whoever comes later finds room
			late := withImage(w.spec("late"+string(rune('0'+i)), `echo come`))
			w.expect(late, "come\n")
		}
		if _, err := w.Usage(w.ctx, quiet.ID); err != nil {
			t.Errorf("usage of the quiet one: %v", err)
		}
		awaitTicks(t, w, quiet, before+50)
		for _, h := range hostile {
			end := w.endOf(t, containerizer.ID(h.name), h.limitation != 0 || h.code != 0)
			if h.limitation != 0 && (end.State != mesos.TaskState_TASK_FAILED || end.Reason != h.limitation) {
				t.Errorf("%s: %+v", h.name, end)
			}
			if h.code > 0 && (end.Status == nil || *end.Status>>8 != int32(h.code)) {
				t.Errorf("%s: %+v", h.name, end)
			}
		}
		awaitTicks(t, w, quiet, ticks(quiet)+10)
	})
}

// endOf destroys a container that does not end by itself, and gives its end.
func (w *wired) endOf(t *testing.T, id containerizer.ID, byItself bool) containerizer.Termination {
	t.Helper()
	if !byItself {
		if err := w.Destroy(w.ctx, id); err != nil {
			t.Errorf("destroy %s: %v", id, err)
		}
	}
	end, err := w.Wait(w.ctx, id)
	if err != nil {
		t.Errorf("%s does not end: %v", id, err)
	}
	return end
}

func ticks(s containerizer.Spec) int {
	out, _ := os.ReadFile(filepath.Join(s.Sandbox, "stdout"))
	return strings.Count(string(out), "tick\n")
}

func awaitTicks(t *testing.T, w *wired, s containerizer.Spec, want int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ticks(s) < want {
		select {
		case <-w.ctx.Done():
			t.Fatalf("the quiet container stands at %d of %d", ticks(s), want)
		case <-tick.C:
		}
	}
}

// TestTheMachinesMemoryIsTakenFromContainersFirst: a launcher that the kernel spares passes that on to nobody.
func TestTheMachinesMemoryIsTakenFromContainersFirst(t *testing.T) {
	const own = "/proc/self/oom_score_adj"
	if err := os.WriteFile(own, []byte("-999"), 0); err != nil {
		t.Skipf("SKIP: this machine lets nobody be spared: %v", err)
	}
	t.Cleanup(func() { _ = os.WriteFile(own, []byte("0"), 0) })
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := withImage(w.spec("ordinary", `cat /proc/self/oom_score_adj; sleep 1000`))
		if _, err := w.Launch(w.ctx, s); err != nil {
			t.Fatal(err)
		}
		session, err := w.Exec(w.ctx, containerizer.Exec{ID: "ordinary.looks", Command: shell("cat /proc/self/oom_score_adj")})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		if out, err := io.ReadAll(session.Stdout()); err != nil || string(out) != "0\n" {
			t.Errorf("a command that enters: %q, %v", out, err)
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for output(s) == "" && w.ctx.Err() == nil {
			<-tick.C
		}
		if out := output(s); out != "0\n" {
			t.Errorf("the container's own: %q", out)
		}
	})
}
