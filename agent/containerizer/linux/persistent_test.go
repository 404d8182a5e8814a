package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

func (w *world) volume(id, at string) containerizer.PersistentVolume {
	w.t.Helper()
	dir := filepath.Join(w.dir, "volumes", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return containerizer.PersistentVolume{ID: id, Source: dir, ContainerPath: at}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// The data outlives the container and its sandbox, and the next container has it.
func TestPersistentVolumeOutlivesItsContainer(t *testing.T) {
	w := newWorld(t)
	first := w.spec("first", "echo kept > data/file")
	first.Persistent = []containerizer.PersistentVolume{w.volume("v", "data")}
	if code, out := w.run(first); code != 0 {
		t.Fatalf("code %d, output %q", code, out)
	}
	if entries, err := os.ReadDir(filepath.Join(first.Sandbox, "data")); err != nil || len(entries) > 0 {
		t.Errorf("the sandbox on the host holds the volume: %v, %v", entries, err)
	}
	if err := os.RemoveAll(first.Sandbox); err != nil {
		t.Fatal(err)
	}
	second := withImage(w.spec("second", "cat /srv/deep/file && echo more >> /srv/deep/file"))
	second.Persistent = []containerizer.PersistentVolume{w.volume("v", "/srv/deep")}
	if code, out := w.run(second); code != 0 || out != "kept\n" {
		t.Errorf("code %d, output %q", code, out)
	}
	if got := content(t, filepath.Join(w.dir, "volumes/v/file")); got != "kept\nmore\n" {
		t.Errorf("the volume holds %q", got)
	}
}

func TestPersistentVolumeCanBeReadOnlyAndShared(t *testing.T) {
	w := newWorld(t)
	writer := withImage(w.spec("writer", "echo hello > data/file; while ! test -e data/seen; do sleep 0.05; done"))
	writer.Persistent = []containerizer.PersistentVolume{w.volume("v", "data")}
	reader := withImage(w.spec("reader", "while ! cat theirs/file 2>/dev/null; do sleep 0.05; done; echo x 2>/dev/null > theirs/file || echo refused"))
	reader.Persistent = []containerizer.PersistentVolume{w.volume("v", "theirs")}
	reader.Persistent[0].ReadOnly = true
	if _, err := w.Launch(w.ctx, writer); err != nil {
		t.Fatal(err)
	}
	code, out := w.run(reader)
	if out = strings.TrimSpace(out); code != 0 || !strings.HasPrefix(out, "hello") || !strings.HasSuffix(out, "refused") {
		t.Errorf("reader: code %d, output %q", code, out)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "volumes/v/seen"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(w.ctx, "writer"); err != nil {
		t.Error(err)
	}
}

// A task of a pod reaches the pod's volume through the path that the pod has it at.
func TestVolumeOfThePodIsASandboxPathOfItsTasks(t *testing.T) {
	w := newWorld(t)
	pod := w.spec("pod", "")
	pod.Command = nil
	pod.Persistent = []containerizer.PersistentVolume{w.volume("v", "state")}
	if _, err := w.Launch(w.ctx, pod); err != nil {
		t.Fatal(err)
	}
	for id, path := range map[string]string{"pod.whole": "state", "pod.part": "state/inner/deep", "pod.out": "../state"} {
		task := withImage(w.spec(id, "echo "+id+" > /data/file"))
		task.Inherited = pod.Persistent
		kind, parent, at, mode := mesos.Volume_Source_SANDBOX_PATH, mesos.Volume_Source_SandboxPath_PARENT, "/data", mesos.Volume_RW
		task.Container.Volumes = []*mesos.Volume{{ContainerPath: &at, Mode: &mode, Source: &mesos.Volume_Source{Type: &kind,
			SandboxPath: &mesos.Volume_Source_SandboxPath{Type: &parent, Path: &path}}}}
		if id == "pod.out" {
			if _, err := w.Launch(w.ctx, task); err == nil {
				t.Error("a path out of the parent's sandbox was mounted")
			}
			continue
		}
		if code, out := w.run(task); code != 0 {
			t.Fatalf("%s: code %d, output %q", id, code, out)
		}
	}
	for path, want := range map[string]string{"volumes/v/file": "pod.whole\n", "volumes/v/inner/deep/file": "pod.part\n"} {
		if got := content(t, filepath.Join(w.dir, path)); got != want {
			t.Errorf("%s holds %q, want %q", path, got, want)
		}
	}
}

func TestPersistentVolumeStaysInsideTheSandbox(t *testing.T) {
	w := newWorld(t)
	for _, at := range []string{"../out", "/agora-test-not-there"} {
		s := w.spec("bad", "true")
		s.Persistent = []containerizer.PersistentVolume{w.volume("v", at)}
		if _, err := w.Launch(w.ctx, s); err == nil {
			t.Errorf("a volume at %s was mounted", at)
		}
	}
	s := w.spec("link", "true")
	if err := os.Symlink("/etc", filepath.Join(s.Sandbox, "evil")); err != nil {
		t.Fatal(err)
	}
	s.Persistent = []containerizer.PersistentVolume{w.volume("v", "evil/sub")}
	if _, err := w.Launch(w.ctx, s); err == nil {
		t.Error("a volume was mounted through a link out of the sandbox")
	}
	if _, err := os.Stat("/etc/sub"); err == nil {
		t.Error("/etc/sub was made")
	}
}
