package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Programs that the test binary is inside a machine that systemd runs, and where that machine has
// the directory of the test.
const (
	asMachine, asDriver, asAgent, asLauncher, asChild = "test-machine", "test-driver", "test-agent", "test-launcher", "test-child"

	inside = "/run/shared"
	passed = "as it should"
)

func TestMain(m *testing.M) {
	var err error
	switch role := append(os.Args, "", ""); role[1] {
	case asMachine:
		if err = machine(role[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	case asDriver:
		if err = drive(); err == nil {
			err = errors.New(passed)
		}
	case asAgent:
		for _, role := range []string{asLauncher, asChild} {
			cmd := exec.Command("/proc/self/exe", role)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			err = errors.Join(err, cmd.Start())
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		<-ctx.Done()
		stop()
	case asLauncher:
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err = Enter(ctx, DefaultSocket, "agora-launcher-test")
		cancel()
		if err == nil && (!In("agora-launcher-test") || Service()) {
			err = fmt.Errorf("unit %q", Unit(ownCgroup()))
		}
		if err == nil {
			err = linger("launcher")
		}
	case asChild:
		if !Service() {
			err = fmt.Errorf("unit %q", Unit(ownCgroup()))
		}
		if err == nil {
			err = linger("child")
		}
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		_ = os.WriteFile(filepath.Join(inside, "said.new"), []byte(err.Error()), 0o600)
		_ = os.Rename(filepath.Join(inside, "said.new"), filepath.Join(inside, "said"))
		os.Exit(1)
	}
}

// linger is there for who dials, as long as the process is.
func linger(name string) error {
	listener, err := net.Listen("unix", filepath.Join(inside, name))
	if err != nil {
		return err
	}
	for {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
		}
	}
}

// machine makes a machine of this process, which has pid, mount and other namespaces already, and
// becomes its systemd. Nothing of the host can be written but dir.
func machine(dir string) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}
	for _, m := range []struct {
		source, at, kind string
		flags            uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{dir, "/mnt", "", unix.MS_BIND}, // out of the way of what covers it
		{"tmpfs", "/run", "tmpfs", 0},
		{"", "/", "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY},
		{"proc", "/proc", "proc", 0},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0},
	} {
		if err := unix.Mount(m.source, m.at, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := os.Mkdir(inside, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("/mnt", inside, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("mount %s: %w", inside, err)
	}
	if err := os.MkdirAll(DefaultRuntimeDirectory, 0o755); err != nil {
		return err
	}
	const target = "[Unit]\nDefaultDependencies=no\nWants=test.service\n"
	const service = "[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=null\nStandardError=null\nExecStart=" + inside + "/program " + asDriver + "\n"
	for name, text := range map[string]string{"test.target": target, "test.service": service} {
		if err := os.WriteFile(filepath.Join(DefaultRuntimeDirectory, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, capability := range []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO} { // the kernel is the host's
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	return syscall.Exec("/lib/systemd/systemd", []string{"systemd", "--system", "--unit=test.target", "--log-target=null"}, []string{"container=agora", "PATH=/usr/bin:/usr/sbin"})
}

// boot starts a machine whose systemd runs the driver, and waits for that.
func boot(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("SKIP: needs systemd's program (Debian: systemd)")
	}
	cmd := exec.Command("/proc/self/exe", asMachine, dir)
	cmd.Stderr = os.Stderr
	runtime.LockOSThread() // at whose end the machine ends
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(newGroup(t).Fd()),
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Skip("SKIP: no namespaces: ", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick, timeout := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	defer func() {
		_ = cmd.Process.Kill() // and with it all of its pid namespace
		<-ended
	}()
	for {
		if said, err := os.ReadFile(filepath.Join(dir, "said")); err == nil {
			if string(said) != passed {
				t.Error(string(said))
			}
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Errorf("the machine has ended: %v", err)
			return
		case <-timeout:
			t.Error("nothing comes of it")
			return
		case <-tick.C:
		}
	}
}

// newGroup is a group of version 2, for one machine.
func newGroup(t *testing.T) *os.File {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(mounts), "\n") {
		fields := strings.Fields(line)
		if !strings.Contains(line, " - cgroup2 ") || fields[3] != "/" {
			continue
		}
		dir := filepath.Join(fields[4], "agora-systemd-test-"+fmt.Sprint(os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { removeGroup(t, dir) })
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	t.Skip("SKIP: no version 2 of control groups is mounted")
	return nil
}

// removeGroup removes a group with those below it; processes that were killed may leave them a
// moment later.
func removeGroup(t *testing.T, dir string) {
	err := await(func() bool {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, each := range slices.Backward(dirs) {
			_ = os.Remove(each)
		}
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	if err != nil {
		t.Errorf("the machine's groups are not removed: %v", err)
	}
}

const patience = 90 * time.Second

// await polls what nobody tells.
func await(done func() bool) error {
	tick, timeout := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			return errors.New("does not happen")
		}
	}
	return nil
}

// A real systemd: who stops the agent's unit ends what is in it, and not the launcher.
func TestALauncherOutlivesTheUnitOfItsAgent(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "program"), self, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	boot(t, dir)
}

// drive is the test, as a service inside the machine: systemd answers nobody else.
func drive() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := connect(ctx, DefaultSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	d := driver{ctx, conn}
	start := []systemd.Property{systemd.PropExecStart([]string{inside + "/program", asAgent}, false)}
	for name, value := range map[string]any{"DefaultDependencies": false, "StandardOutput": "null", "StandardError": "null"} { // nothing else is to start
		start = append(start, systemd.Property{Name: name, Value: dbus.MakeVariant(value)})
	}
	if err := d.job(func(done chan<- string) (int, error) {
		return conn.StartTransientUnitContext(ctx, "agent.service", "fail", start, done)
	}); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	if err := await(func() bool { return alive("launcher") && alive("child") }); err != nil {
		return fmt.Errorf("launcher %v, child %v: %w", alive("launcher"), alive("child"), err)
	}
	scopes := d.scopes()
	if len(scopes) != 1 {
		return fmt.Errorf("scopes %v", scopes)
	}
	if slice, err := conn.GetUnitTypePropertyContext(ctx, scopes[0], "Scope", "Slice"); err != nil || slice.Value.Value() != Slice {
		return fmt.Errorf("slice %v, %w", slice, err)
	}
	if err := d.stop("agent.service"); err != nil || alive("child") || !alive("launcher") {
		return fmt.Errorf("after the agent's end: child %v, launcher %v, %w", alive("child"), alive("launcher"), err)
	}
	if err := d.stop(scopes[0]); err != nil || alive("launcher") {
		return fmt.Errorf("after the scope's end: launcher %v, %w", alive("launcher"), err)
	}
	return await(func() bool { return len(d.scopes()) == 0 })
}

type driver struct {
	ctx  context.Context
	conn *systemd.Conn
}

func (d driver) scopes() (out []string) {
	list, err := d.conn.ListUnitsByPatternsContext(d.ctx, nil, []string{"agora-launcher-test-*.scope"})
	for _, unit := range list {
		out = append(out, unit.Name)
	}
	if err != nil {
		out = append(out, err.Error())
	}
	return out
}

func (d driver) stop(unit string) error {
	return d.job(func(done chan<- string) (int, error) { return d.conn.StopUnitContext(d.ctx, unit, "fail", done) })
}

func (d driver) job(start func(chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := start(done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd says %q", result)
		}
		return nil
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
}

func alive(name string) bool {
	conn, err := net.Dial("unix", filepath.Join(inside, name))
	if err == nil {
		conn.Close()
	}
	return err == nil
}
