package remote_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/remote"
)

// The test binary is the launcher's process when its first argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "launcher" {
		os.Exit(remote.CommandHearing(os.Args[2:], os.Stderr, func(point string) {
			if point == os.Getenv(dieAt) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}))
	}
	if len(os.Args) > 1 && os.Args[1] == "old-launcher" {
		os.Exit(remote.CommandOfAnEarlierBuild(os.Args[2:], os.Stderr, 1))
	}
	if len(os.Args) > 1 && os.Args[1] == "poor-launcher" {
		os.Exit(remote.CommandOfAnEarlierBuild(os.Args[2:], os.Stderr, remote.Version, launcher.DeviceRulesV2))
	}
	if len(os.Args) > 2 && os.Args[1] == "stranger" {
		os.Exit(stranger(os.Args[2]))
	}
	os.Exit(launchertest.Main(m))
}

// process is a launcher's process that a test started.
type process struct {
	*remote.Client
	cmd *exec.Cmd
}

func start(t testing.TB, dir, abandoned string) *process {
	return startAs(t, "launcher", dir, abandoned)
}

func startAs(t testing.TB, role, dir, abandoned string) *process {
	t.Helper()
	timeout, err := time.ParseDuration(abandoned)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{role}, remote.Arguments(dir, timeout)...)...)
	cmd.Stderr = os.Stderr
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if c, err := remote.Dial(context.Background(), dir); err == nil {
			return &process{c, cmd}
		}
		<-tick.C
	}
	t.Fatal("launcher did not answer")
	return nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.Close()
}

// open gives the suite a launcher that is killed, never stopped.
func open(t testing.TB, dir string) (launcher.Launcher, func()) {
	p := start(t, dir, "0s")
	return p, p.kill
}

func TestLauncherProcessKeepsTheContract(t *testing.T) { launchertest.Run(t, open) }

func TestAbandonedContainersAreDestroyed(t *testing.T) {
	var last *process
	r := launchertest.NewRig(t, func(t testing.TB, dir string) (launcher.Launcher, func()) {
		last = start(t, dir, "50ms")
		return last, last.kill
	})
	request := r.Request("left", "echo up; sleep 1000")
	pid, err := r.Start(r.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	r.Await(request, "up")
	last.Close()
	if err := last.cmd.Wait(); err != nil {
		t.Fatalf("launcher: %v", err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("container lives on: %v", err)
	}
	r.Reopen()
}

func TestEnsureStartsALauncherOnce(t *testing.T) {
	launchertest.Busybox(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	command := append([]string{os.Args[0], "launcher"}, remote.Arguments(dir, 0)...)
	first, err := remote.Ensure(ctx, dir, command...)
	if err != nil {
		t.Fatal(err)
	}
	second, err := remote.Ensure(ctx, dir, "/no/such/program")
	if err != nil {
		t.Fatalf("a second agent started another: %v", err)
	}
	if err := first.Stop(ctx); err != nil {
		t.Error(err)
	}
	first.Close()
	second.Close()
}

// TestTheLockOfALauncherThatEndsIsWaitedFor: killed, it stops to answer before it has let go.
func TestTheLockOfALauncherThatEndsIsWaitedFor(t *testing.T) {
	launchertest.Busybox(t)
	dir := t.TempDir()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	command := append([]string{os.Args[0], "launcher"}, remote.Arguments(dir, 0)...)
	if _, err := remote.Ensure(t.Context(), dir, command...); err == nil || !strings.Contains(err.Error(), "another one has "+dir) {
		t.Errorf("beside one that stays: %v, want that it has the directory", err)
	}
	time.AfterFunc(300*time.Millisecond, func() { lock.Close() })
	c, err := remote.Ensure(t.Context(), dir, command...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	c.Close()
}

// TestContainersHaveTheLimitOfFilesTheLauncherWasStartedWith: it takes more for itself, up to the hard limit.
func TestContainersHaveTheLimitOfFilesTheLauncherWasStartedWith(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if before.Max <= 640 {
		t.Skipf("SKIP: the hard limit of open files is %d", before.Max)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 640, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	var keeper *remote.Keeper
	r := launchertest.NewRig(t, keeping("native", &keeper))
	request := r.Request("holder", "ulimit -Sn; sleep 1000")
	pid, err := r.Start(r.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	r.Await(request, "640\n")
	var own unix.Rlimit
	if err := unix.Prlimit(launcherOf(t, pid), unix.RLIMIT_NOFILE, nil, &own); err != nil || own.Cur < before.Max-1 {
		t.Errorf("the launcher itself has %+v, %v; want about %d", own, err, before.Max)
	}
}

// A directory may be deeper than the address of a socket is long.
func TestLauncherInADeepDirectoryIsReached(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: a launcher makes cgroups")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40), "launcher")
	p := start(t, dir, "0s")
	defer p.kill()
	if list, err := p.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("containers of a new launcher: %v, %v", list, err)
	}
}
