package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

func withGroups(t *testing.T) func(*linux.Config) {
	file := filepath.Join(t.TempDir(), "gids")
	return func(c *linux.Config) {
		c.Isolation.WatchInterval = 50 * time.Millisecond
		c.Isolation.VolumeGIDs = linux.VolumeGIDs{IDs: resources.NewRanges(resources.Range{Begin: 41000, End: 41009}), File: file}
	}
}

func (w *world) freeGroups() (n float64) {
	w.Figures(func(name string, value float64) {
		if name == "volume_gid_manager/volume_gids_free" {
			n = value
		}
	})
	return n
}

// as runs a script as a user whose sandbox is its own.
func (w *world) as(user int, s containerizer.Spec) containerizer.Spec {
	w.t.Helper()
	s.User = map[int]string{0: "root", 1001: "1001", 1002: "1002"}[user]
	if err := os.Chown(s.Sandbox, user, user); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Two users write to a volume that they share; without a group the second one cannot.
func TestSharedVolumeIsWrittenByAllItsUsers(t *testing.T) {
	for _, grouped := range []bool{true, false} {
		var change []func(*linux.Config)
		if grouped {
			change = append(change, withGroups(t))
		}
		w := newWorld(t, change...)
		v := w.volume("v", "data")
		v.Shared = true
		if err := os.Chown(v.Source, 1001, 1001); err != nil { // as the agent does for the first one
			t.Fatal(err)
		}
		var results []string
		for name, user := range map[string]int{"first": 1001, "second": 1002} {
			s := withImage(w.as(user, w.spec(name, "echo x > data/"+name+" && echo wrote")))
			s.Persistent = []containerizer.PersistentVolume{v}
			_, out := w.run(s)
			results = append(results, name+": "+strings.TrimSpace(out))
		}
		got := strings.Join(results, "; ")
		if !strings.Contains(got, "first: wrote") || strings.Contains(got, "second: wrote") != grouped {
			t.Errorf("with a group: %v: got %q", grouped, got)
		}
		if grouped && w.freeGroups() != 9 {
			t.Errorf("%v groups are free, want 9", w.freeGroups())
		}
	}
}

func TestPodsShareDirectoriesAmongUsers(t *testing.T) {
	w := newWorld(t, withGroups(t))
	pod := w.spec("pod", "")
	pod.Command = nil
	v := w.volume("v", "store")
	pod.Persistent = []containerizer.PersistentVolume{v}
	w.launch(pod)
	task := func(id, path string, user int, script string) containerizer.Spec {
		s := with(withImage(w.as(user, w.spec(id, script))), "/shared", sandboxPath(path, mesos.Volume_Source_SandboxPath_PARENT))
		s.ShareCgroups, s.Inherited = true, pod.Persistent
		return s
	}
	for _, c := range []struct {
		spec containerizer.Spec
		want string
	}{
		{task("pod.a", "common", 1001, "echo told > /shared/word && stat -c %g /shared/word"), "41000\n"},
		{task("pod.b", "common", 1002, "cat /shared/word && echo more > /shared/other && mkdir /shared/d && stat -c %g /shared/d"), "told\n41000\n"},
		{task("pod.root", "common", 0, "id -G; echo x > /shared/third"), "0\n"},
		{task("pod.v", "store", 1001, "echo kept > /shared/f && stat -c %g /shared/f"), "41001\n"},
	} {
		if code, out := w.run(c.spec); code != 0 || out != c.want {
			t.Errorf("%s: exit code %d, %q, want %q", c.spec.ID, code, out, c.want)
		}
	}
	w.restart("pod")
	if got := w.freeGroups(); got != 8 {
		t.Errorf("%v groups are free after a restart, want 8", got)
	}
	w.end("pod")
	if err := w.Remove(w.ctx, "pod"); err != nil {
		t.Fatal(err)
	}
	w.await("the group of a directory is free when its pod is gone, that of a volume is not", func() bool { return w.freeGroups() == 9 })
}
