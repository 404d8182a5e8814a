package remote_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/internal/buildinfo"
)

// dieAt names the point of an upgrade at which the launcher's process of a test kills itself.
const dieAt = "AGORA_TEST_DIE_AT"

// otherBuild is this program with another stamp of its linker.
func otherBuild(t testing.TB) *os.File {
	t.Helper()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	id, err := buildinfo.ID(bytes.NewReader(self))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("x", 20) + id[20:]
	path := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(path, bytes.ReplaceAll(self, []byte(id), []byte(other)), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// keeping opens launchers' processes of a kind for a rig, in a way that ends them with the test.
func keeping(kind string, keeper **remote.Keeper) launchertest.Factory {
	return keepingAs("launcher", kind, keeper)
}

func keepingAs(role, kind string, keeper **remote.Keeper) launchertest.Factory {
	return func(t testing.TB, dir string) (launcher.Launcher, func()) {
		command := append([]string{os.Args[0], role}, remote.Arguments(dir, 0)...)
		if kind != "native" {
			if _, err := exec.LookPath(kind); err != nil {
				t.Skipf("SKIP: %s is missing; apt-get install %s", kind, kind)
			}
			command = append(command, "--oci", "--oci_runtime="+kind)
		}
		k, err := remote.Keep(context.Background(), dir, command...)
		if err != nil {
			t.Fatal(err)
		}
		*keeper = k
		return k, func() {
			if err := k.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			k.Close()
		}
	}
}

// crowd are containers of all sorts that live through an upgrade.
type crowd struct {
	*launchertest.Rig
	t        *testing.T
	plain    []launcher.Request
	terminal launcher.Request
	input    *os.File // an attached one
	pids     map[string]int
	said     *os.File // what the process that entered writes
}

// waits runs until its file go is there.
const waits = `echo up; while [ ! -e /go ]; do sleep 0.01; done; `

func assemble(t *testing.T, r *launchertest.Rig) *crowd {
	c := &crowd{Rig: r, t: t, pids: map[string]int{}}
	for i := range 18 {
		c.plain = append(c.plain, r.Request(fmt.Sprintf("c%d", i), waits+fmt.Sprintf("exit %d", i)))
	}
	c.plain = append(c.plain, r.Request("c0.nested", waits+"exit 41"))
	// A terminal that is hung up gives the end of input and SIGHUP, in either order: who reads the
	// end waits for the signal.
	c.terminal = r.Request("tty", `stty -echo; echo up; read line || sleep 1000; echo "got $line"; read line || sleep 1000; echo "and $line"; exit 42`)
	c.terminal.Spec.Process.Terminal = true
	for _, request := range append(c.plain, c.terminal) {
		pid, err := r.Start(r.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		c.pids[request.ID] = pid
	}
	for _, request := range append(c.plain, c.terminal) {
		r.Await(request, "up")
	}
	var err error
	if c.input, err = r.Launcher.(launcher.Terminals).Terminal(r.Context(), "tty"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.input.Close() })
	c.enter()
	return c
}

// enter has a process enter c1 that writes to a pipe, as an attached session does.
func (c *crowd) enter() {
	read, write, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.said = read
	c.t.Cleanup(func() { read.Close() })
	defer write.Close()
	process := template.Spec("/", "sh", "-c", "while [ ! -e /leave ]; do sleep 0.01; done; echo said; exit 43").Process
	if _, err := c.Enter(c.Context(), launcher.Enter{ID: "entered", Parent: "c1", Process: process, Files: [3]*os.File{write, write, write}}); err != nil {
		c.t.Fatal(err)
	}
}

// release lets a container end.
func (c *crowd) release(id string) { c.put(id, "go") }

func (c *crowd) put(id, name string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(fmt.Sprintf("/proc/%d/root", c.pids[id]), name), nil, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// expect waits for an end.
func (c *crowd) expect(id string, want int) {
	c.t.Helper()
	exit, err := c.Wait(c.Context(), id)
	if status := syscall.WaitStatus(exit.Status); err != nil || !exit.Known || status.ExitStatus() != want {
		c.t.Errorf("%s ended with %+v (%d), %v; want %d", id, exit, status.ExitStatus(), err, want)
	}
}

// finish ends all and checks every status, and that live containers kept their pids.
func (c *crowd) finish() {
	c.t.Helper()
	list, err := c.List(c.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	found := 0
	for _, one := range list {
		if pid, ours := c.pids[one.ID]; ours && one.PID == pid {
			found++
		}
	}
	if found != len(c.pids) {
		c.t.Errorf("%d containers with their pids, want %d: %+v", found, len(c.pids), list)
	}
	for i, request := range c.plain {
		if i != 5 && request.ID != "c1" {
			c.release(request.ID)
		}
	}
	for i := range 18 {
		if i != 1 {
			c.expect(fmt.Sprintf("c%d", i), i)
		}
	}
	c.expect("c0.nested", 41)
	c.put("c1", "leave")
	out, _ := io.ReadAll(c.said)
	if c.expect("entered", 43); string(out) != "said\n" {
		c.t.Errorf("what entered said %q", out)
	}
	c.release("c1")
	c.expect("c1", 1)
}

func TestUpgradeInPlaceLosesNothing(t *testing.T) {
	for _, kind := range []string{"native", "runc", "crun"} {
		t.Run(kind, func(t *testing.T) {
			var keeper *remote.Keeper
			r := launchertest.NewRig(t, keeping(kind, &keeper))
			c := assemble(t, r)
			before := launcherOf(t, c.pids["c0"])
			if _, err := c.input.WriteString("one\n"); err != nil {
				t.Fatal(err)
			}
			waited := make(chan error, 1)
			go func() { _, err := c.Wait(c.Context(), "c7"); waited <- err }()
			c.release("c5") // ends about when the program is replaced
			replaced, err := keeper.UpgradeTo(r.Context(), otherBuild(t))
			if err != nil || !replaced {
				t.Fatalf("replaced %v, %v", replaced, err)
			}
			if after := launcherOf(t, c.pids["c0"]); after != before {
				t.Errorf("launcher's pid %d, want %d as before", after, before)
			}
			if again, err := keeper.UpgradeTo(r.Context(), otherBuild(t)); again || err != nil {
				t.Errorf("the same program once more: replaced %v, %v", again, err)
			}
			if _, err := c.input.WriteString("two\n"); err != nil {
				t.Fatal(err)
			}
			c.expect("tty", 42)
			r.Await(c.terminal, "got one")
			r.Await(c.terminal, "and two")
			c.finish()
			if err := <-waited; err != nil {
				t.Errorf("a wait across the upgrade: %v", err)
			}
			if exit, out := r.Run(r.Request("later", "echo new; exit 3")); syscall.WaitStatus(exit.Status).ExitStatus() != 3 || out != "new\n" {
				t.Errorf("a container of the new program ended with %+v and said %q", exit, out)
			}
			noZombies(t, before)
		})
	}
}

// launcherOf is the parent of a container's init.
func launcherOf(t *testing.T, pid int) (parent int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if _, err := fmt.Sscan(fields[1], &parent); err != nil {
		t.Fatal(err)
	}
	return parent
}

// noZombies waits until the launcher has no child left that has ended.
func noZombies(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var left []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		left = nil
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range files {
			b, _ := os.ReadFile(file)
			for child := range strings.FieldsSeq(string(b)) {
				status, _ := os.ReadFile("/proc/" + child + "/stat")
				if bytes.Contains(status, []byte(") Z ")) {
					left = append(left, status...)
				}
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("nobody collects: %s", left)
}

func TestAFailedUpgradeLeavesTheLauncherAsItWas(t *testing.T) {
	var keeper *remote.Keeper
	r := launchertest.NewRig(t, keeping("native", &keeper))
	c := assemble(t, r)
	before := launcherOf(t, c.pids["c0"])
	broken := filepath.Join(t.TempDir(), "broken")
	whole, err := os.ReadFile(otherBuild(t).Name())
	if err != nil {
		t.Fatal(err)
	}
	copy(whole[16:], []byte{1, 0}) // no executable any more, but a stamp
	if err := os.WriteFile(broken, whole, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{broken, "/bin/true"} {
		program, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		replaced, err := keeper.UpgradeTo(r.Context(), program)
		program.Close()
		if replaced || err == nil {
			t.Errorf("%s: replaced %v, %v", path, replaced, err)
		}
	}
	if after := launcherOf(t, c.pids["c0"]); after != before {
		t.Errorf("launcher's pid %d, want %d as before", after, before)
	}
	if _, err := c.input.WriteString("one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	c.expect("tty", 42)
	r.Await(c.terminal, "and two")
	c.release("c5")
	c.finish()
}

// A launcher that is killed in the midst of an upgrade is one that is killed: the next finds
// everything in the records, but terminals.
func TestALauncherKilledDuringItsUpgradeIsSucceeded(t *testing.T) {
	for _, kind := range []string{"native", "runc", "crun"} {
		for _, point := range []string{"frozen", "proved", "begun"} {
			t.Run(kind+"/"+point, func(t *testing.T) {
				t.Setenv(dieAt, point)
				var keeper *remote.Keeper
				r := launchertest.NewRig(t, keeping(kind, &keeper))
				c := assemble(t, r)
				c.release("c5")
				_ = os.Unsetenv(dieAt) // for the next one
				if _, err := keeper.UpgradeTo(r.Context(), otherBuild(t)); err == nil {
					t.Error("an upgrade to a program that was killed is none")
				}
				c.finish()
				c.input.Close() // it is the last outer end of the terminal
				exit, err := c.Wait(r.Context(), "tty")
				if status := syscall.WaitStatus(exit.Status); err != nil || !exit.Known || status.Signal() != unix.SIGHUP {
					t.Errorf("the terminal's command ended with %+v, %v; want SIGHUP", exit, err)
				}
			})
		}
	}
}
