package linux_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/oci"
	"agora.dev/agora/agent/rootfs"
	mesos "agora.dev/agora/api/mesos/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// busybox provides one image, whatever is asked for.
type busybox struct{ dir string }

func (b busybox) Provision(context.Context, *mesos.Image) (linux.RootFS, error) {
	return linux.RootFS{Layers: []string{b.dir}, Config: ocispec.ImageConfig{
		Env: []string{"FROM=image", "BOTH=image"}, Entrypoint: []string{"/bin/echo"}, Cmd: []string{"from", "image"}}}, nil
}

type world struct {
	*linux.Containerizer
	t   *testing.T
	ctx context.Context
	dir string
	// group is the cgroup path of the containers.
	group  string
	config linux.Config
}

// restart replaces the containerizer, as a new agent does; the launcher lives on.
func (w *world) restart(known ...containerizer.ID) {
	w.t.Helper()
	_ = w.Close() // its groups are in use
	c, err := linux.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Containerizer = c
	if _, err := c.Recover(w.ctx, known); err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t *testing.T, change ...func(*linux.Config)) *world {
	t.Helper()
	image := busybox{launchertest.Busybox(t)}
	dir := t.TempDir()
	fast := launcherOfTests(t, filepath.Join(dir, "launcher"))
	config := linux.Config{Launcher: fast, Images: image, Dir: filepath.Join(dir, "containerizer"), Cgroups: "/agora-test-" + filepath.Base(filepath.Dir(dir)), Backend: rootfs.Backend(os.Getenv(backendOfTests))}
	for _, f := range change {
		f(&config)
	}
	l := config.Launcher
	c, err := linux.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	if _, err := c.Recover(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w := &world{c, t, ctx, dir, config.Cgroups, config}
	t.Cleanup(func() {
		list, _ := l.List(ctx)
		for _, f := range list {
			if !strings.Contains(f.ID, ".") {
				_ = w.Destroy(ctx, containerizer.ID(f.ID))
			}
			_, _ = w.Wait(ctx, containerizer.ID(f.ID))
		}
		for _, f := range list {
			if !strings.Contains(f.ID, ".") {
				if err := w.Remove(ctx, containerizer.ID(f.ID)); err != nil {
					t.Error(err)
				}
			}
		}
		w.Close()
		cancel()
	})
	return w
}

// runtimeOfTests names the OCI runtime of worlds; empty for the native launcher.
const runtimeOfTests = "AGORA_TEST_RUNTIME"

func launcherOfTests(t *testing.T, dir string) launcher.Launcher {
	t.Helper()
	runtime := os.Getenv(runtimeOfTests)
	if runtime == "" {
		l, err := native.New(native.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	if _, err := exec.LookPath(runtime); err != nil {
		t.Skipf("SKIP: %s is missing; apt-get install %s", runtime, runtime)
	}
	l, err := oci.New(oci.Config{Dir: dir, Runtime: runtime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (w *world) spec(id, script string) containerizer.Spec {
	w.t.Helper()
	box := filepath.Join(w.dir, "sandbox", strings.ReplaceAll(id, ".", "/containers/"))
	if err := os.MkdirAll(box, 0o755); err != nil {
		w.t.Fatal(err)
	}
	return containerizer.Spec{ID: containerizer.ID(id), Command: shell(script), Sandbox: box,
		Resources: []*mesos.Resource{resource("cpus", 0.5), resource("mem", 64)}, Env: map[string]string{"BOTH": "agent"}}
}

func shell(script string) *mesos.CommandInfo { return &mesos.CommandInfo{Value: &script} }

func resource(name string, value float64) *mesos.Resource {
	kind := mesos.Value_SCALAR
	return &mesos.Resource{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &value}}
}

func withImage(s containerizer.Spec) containerizer.Spec {
	kind, image, name := mesos.ContainerInfo_MESOS, mesos.Image_DOCKER, "busybox"
	s.Container = &mesos.ContainerInfo{Type: &kind, Mesos: &mesos.ContainerInfo_MesosInfo{Image: &mesos.Image{Type: &image, Docker: &mesos.Image_Docker{Name: &name}}}}
	return s
}

func (w *world) run(s containerizer.Spec) (int, string) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err != nil {
		w.t.Fatalf("launch %s: %v", s.ID, err)
	}
	end, err := w.Wait(w.ctx, s.ID)
	if err != nil || end.Status == nil {
		w.t.Fatalf("wait %s: %+v, %v", s.ID, end, err)
	}
	return syscall.WaitStatus(*end.Status).ExitStatus(), output(s)
}

func output(s containerizer.Spec) string {
	out, _ := os.ReadFile(filepath.Join(s.Sandbox, "stdout"))
	errs, _ := os.ReadFile(filepath.Join(s.Sandbox, "stderr"))
	return string(out) + string(errs)
}

func TestCommandWithoutImageSeesTheHost(t *testing.T) {
	w := newWorld(t)
	s := w.spec("host", `pwd; echo $MESOS_SANDBOX $BOTH; test -d /usr/share && echo host; exit 4`)
	code, out := w.run(s)
	if want := s.Sandbox + "\n" + s.Sandbox + " agent\nhost\n"; code != 4 || out != want {
		t.Errorf("code %d, output %q; want 4, %q", code, out, want)
	}
}

func TestCommandWithImageSeesTheImage(t *testing.T) {
	w := newWorld(t)
	code, out := w.run(withImage(w.spec("image", `pwd; echo $FROM $BOTH; ls /usr 2>/dev/null; echo x > /root/file; echo y > made; ls /mnt/mesos/sandbox; exit 5`)))
	if want := "/mnt/mesos/sandbox\nimage agent\nmade\nstderr\nstdout\n"; code != 5 || out != want {
		t.Errorf("code %d, output %q; want 5, %q", code, out, want)
	}
}

func TestImageCommandRunsWhenTheTaskNamesNone(t *testing.T) {
	w := newWorld(t)
	s := withImage(w.spec("default", ""))
	no := false
	s.Command = &mesos.CommandInfo{Shell: &no}
	if code, out := w.run(s); code != 0 || out != "from image\n" {
		t.Errorf("code %d, output %q", code, out)
	}
}

func TestExceedingMemoryIsALimitation(t *testing.T) {
	w := newWorld(t)
	s := withImage(w.spec("oom", `dd if=/dev/zero of=/dev/null bs=200M count=1`))
	if _, err := w.Launch(w.ctx, s); err != nil {
		t.Fatal(err)
	}
	end, err := w.Wait(w.ctx, s.ID)
	if err != nil || end.State != mesos.TaskState_TASK_FAILED || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
		t.Errorf("got %+v, %v; output %q", end, err, output(s))
	}
}

func TestDestroyEndsChildrenFirst(t *testing.T) {
	w := newWorld(t)
	root := w.spec("pod", "")
	root.Command = nil
	if _, err := w.Launch(w.ctx, root); err != nil {
		t.Fatal(err)
	}
	for _, share := range []bool{true, false} {
		child := withImage(w.spec(map[bool]string{true: "pod.shared", false: "pod.own"}[share], "sleep 1000"))
		child.ShareCgroups = share
		if _, err := w.Launch(w.ctx, child); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Destroy(w.ctx, "pod"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []containerizer.ID{"pod.shared", "pod.own", "pod"} {
		if _, err := w.Wait(w.ctx, id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestExecEntersTheContainer(t *testing.T) {
	w := newWorld(t)
	s := withImage(w.spec("target", "echo here > /root/mark; echo up; sleep 1000"))
	if _, err := w.Launch(w.ctx, s); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for output(s) == "" && w.ctx.Err() == nil {
		<-tick.C
	}
	for _, tty := range []bool{false, true} {
		id := containerizer.ID(map[bool]string{true: "target.tty", false: "target.plain"}[tty])
		session, err := w.Exec(w.ctx, containerizer.Exec{ID: id, TTY: tty, Command: shell("cat /root/mark; read x; echo got $x; exit 9"), KeepStdin: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(session.Stdin(), "word\n"); err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(session.Stdout())
		end, err := session.Wait(w.ctx)
		if err != nil || end.Status == nil || syscall.WaitStatus(*end.Status).ExitStatus() != 9 ||
			!strings.Contains(string(out), "here") || !strings.Contains(string(out), "got word") {
			t.Errorf("tty %v: output %q, %+v, %v", tty, out, end, err)
		}
		if err := session.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func TestSandboxPathVolumeStaysInside(t *testing.T) {
	w := newWorld(t)
	s := withImage(w.spec("volume", "echo kept > /data/file; cat /data/file"))
	if err := os.Symlink("/etc", filepath.Join(s.Sandbox, "evil")); err != nil {
		t.Fatal(err)
	}
	kind, self, path, at, mode := mesos.Volume_Source_SANDBOX_PATH, mesos.Volume_Source_SandboxPath_SELF, "evil", "/data", mesos.Volume_RW
	s.Container.Volumes = []*mesos.Volume{{ContainerPath: &at, Mode: &mode, Source: &mesos.Volume_Source{Type: &kind,
		SandboxPath: &mesos.Volume_Source_SandboxPath{Type: &self, Path: &path}}}}
	if _, err := w.Launch(w.ctx, s); err == nil {
		t.Error("a link out of the sandbox was mounted")
	}
	path = "inner"
	if code, out := w.run(s); code != 0 || out != "kept\n" {
		t.Errorf("code %d, output %q", code, out)
	}
	if b, err := os.ReadFile(filepath.Join(s.Sandbox, "inner/file")); err != nil || string(b) != "kept\n" {
		t.Errorf("volume content %q, %v", b, err)
	}
}

func TestLinuxKeepsTheContract(t *testing.T) {
	containerizertest.Run(t, func(t *testing.T) containerizertest.Host {
		w := newWorld(t)
		return containerizertest.Host{Containerizer: w, Sleeper: func(id containerizer.ID) containerizer.Spec {
			return w.spec(string(id), "exec sleep 1000")
		}}
	})
}
