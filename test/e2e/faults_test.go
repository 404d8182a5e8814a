package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cluster is a master and an agent in processes of their own.
type cluster struct {
	t                       *testing.T
	master, agent           *process
	masterPort, agentPort   int
	masterDir, agentDir     string
	masterStarts, agentRuns int
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	needRoot(t)
	c := &cluster{t: t, masterPort: freePort(t), agentPort: freePort(t), masterDir: t.TempDir(), agentDir: t.TempDir()}
	interfaces := countInterfaces(t)
	t.Cleanup(func() { givenBack(t, interfaces, c.agentDir) })
	c.startMaster()
	c.startAgent()
	return c
}

func (c *cluster) startMaster() {
	c.masterStarts++
	c.master = start(c.t, fmt.Sprintf("master %d", c.masterStarts), "master", "--ip=127.0.0.1",
		"--port="+strconv.Itoa(c.masterPort), "--work_dir="+c.masterDir)
	eventually(c.t, "the master answers", 20*time.Second, func() error {
		_, err := get("http://" + c.addr() + "/health")
		return err
	})
}

func (c *cluster) startAgent(more ...string) {
	c.agentRuns++
	args := []string{"agent", "--master=" + c.addr(), "--ip=127.0.0.1", "--port=" + strconv.Itoa(c.agentPort),
		"--work_dir=" + c.agentDir, "--resources=cpus:4;mem:1024;disk:1024;ports:[31000-31100]"}
	c.agent = start(c.t, fmt.Sprintf("agent %d", c.agentRuns), append(args, more...)...)
	// It is told to end its tasks: a plain stop would leave them to the next one.
	c.agent.farewell = syscall.SIGUSR1
	eventually(c.t, "the agent is registered", 30*time.Second, func() error {
		_, out, errOut := c.agora("node", "ls")
		if !strings.Contains(out, " active ") {
			return errors.New(out + errOut)
		}
		return nil
	})
}

func (c *cluster) addr() string { return fmt.Sprintf("127.0.0.1:%d", c.masterPort) }

func (c *cluster) agora(args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	return agora(c.t, append([]string{"--master", c.addr()}, args...)...)
}

// run starts a task in the foreground and waits until it is RUNNING.
func (c *cluster) run(name, script string) *process {
	c.t.Helper()
	p := start(c.t, "agora run "+name, "--master", c.addr(), "run", "--name", name, "--", "sh", "-c", script)
	eventually(c.t, name+" runs", 30*time.Second, func() error {
		_, out, errOut := c.agora("ps", name)
		if !strings.Contains(out, "RUNNING") {
			return errors.New(out + errOut + p.output())
		}
		return nil
	})
	return p
}

// exits waits for the end of a foreground run and checks its code.
func (c *cluster) exits(p *process, code int) {
	c.t.Helper()
	select {
	case <-p.done:
	case <-time.After(90 * time.Second):
		c.t.Fatalf("%s did not end: %s", p.name, p.output())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("%s: exit %d, want %d: %s", p.name, got, code, p.output())
	}
}

// pidOf finds the process whose command line holds every word; the command line that
// asked for it is not meant.
func pidOf(words ...string) (int, error) {
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
next:
	for _, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		line := strings.ReplaceAll(string(data), "\x00", " ")
		if strings.Contains(line, " run --name ") {
			continue
		}
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		return strconv.Atoi(strings.Split(path, "/")[2])
	}
	return 0, fmt.Errorf("no process with %q in its command line", words)
}

func TestKilledAgentFindsItsContainersAndTheirExitCodes(t *testing.T) {
	c := startCluster(t)
	over := c.run("over", "sleep 3; exit 7")
	on := c.run("on", "while ! test -e stop; do sleep 0.1; done; exit 8")
	marker, err := pidOf("test -e stop")
	if err != nil {
		t.Fatal(err)
	}
	c.agent.stop(syscall.SIGKILL)
	if err := syscall.Kill(marker, 0); err != nil {
		t.Fatalf("the container died with the agent: %v", err)
	}
	// The first task ends while no agent looks.
	eventually(t, "the first task ends", 20*time.Second, func() error {
		if _, err := pidOf("sleep 3; exit 7"); err == nil {
			return errors.New("it still runs")
		}
		return nil
	})
	c.startAgent()
	c.exits(over, 7)
	if err := syscall.Kill(marker, 0); err != nil {
		t.Fatalf("the new agent killed the container: %v", err)
	}
	stop, err := filepath.Glob(c.agentDir + "/slaves/*/frameworks/*/executors/*/runs/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, sandbox := range stop {
		_ = os.WriteFile(filepath.Join(sandbox, "stop"), nil, 0o644)
	}
	c.exits(on, 8)
}

func TestKilledMasterFindsAgentTaskAndFrameworkAgain(t *testing.T) {
	c := startCluster(t)
	task := c.run("survivor", "sleep 8; exit 5")
	marker, err := pidOf("sleep 8; exit 5")
	if err != nil {
		t.Fatal(err)
	}
	c.master.stop(syscall.SIGKILL)
	c.startMaster()
	eventually(t, "the new master knows the running task", 30*time.Second, func() error {
		_, out, errOut := c.agora("ps", "survivor")
		if !strings.Contains(out, "RUNNING") {
			return errors.New(out + errOut)
		}
		return nil
	})
	if err := syscall.Kill(marker, 0); err != nil {
		t.Errorf("the task did not run on: %v", err)
	}
	c.exits(task, 5)
}

func TestKilledLauncherLeavesTasksRunning(t *testing.T) {
	c := startCluster(t)
	task := c.run("survivor", "sleep 4; exit 6")
	marker, err := pidOf("sleep 4; exit 6")
	if err != nil {
		t.Fatal(err)
	}
	launcher, err := pidOf("launcher", c.agentDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(marker, 0); err != nil {
		t.Fatalf("the task died with the launcher: %v", err)
	}
	second := c.run("second", "sleep 1; exit 9")
	c.exits(second, 9)
	c.exits(task, 6)
}

func TestFullDiskIsOneClearLineAndLeavesNothing(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=400m", "agora-e2e", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	d := startDevIn(t, filepath.Join(dir, "state"))
	filler := bytes.Repeat([]byte{1}, 1<<20)
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(filler)
	}
	file.Close()
	code, _, errOut := d.agora(t, "run", "builtin/demo")
	if code != 125 || !strings.Contains(errOut, "no space left") || strings.Count(strings.TrimSpace(errOut), "\n") > 0 {
		t.Errorf("run on a full disk: exit %d, %q; want 125 and one line with: no space left", code, errOut)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := d.agora(t, "run", "builtin/shell", "--", "echo", "again"); code != 0 || out != "again\n" {
		t.Errorf("run with space again: exit %d, %q, %q", code, out, errOut)
	}
}
