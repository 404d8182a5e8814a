package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// psTask is a row of agora ps -o json.
type psTask struct {
	ID, Name, State, Node, Ports, Message string
}

func (d *dev) ps(t *testing.T, args ...string) []psTask {
	t.Helper()
	code, out, errOut := d.agora(t, append([]string{"ps", "-o", "json"}, args...)...)
	if code != 0 {
		t.Fatalf("agora ps: exit %d: %s", code, errOut)
	}
	var tasks []psTask
	if err := json.Unmarshal([]byte(out), &tasks); err != nil {
		t.Fatalf("agora ps -o json: %v in %s", err, out)
	}
	return tasks
}

// running waits until n tasks of a name run, and returns them.
func (d *dev) running(t *testing.T, name string, n int) []psTask {
	t.Helper()
	var found []psTask
	eventually(t, fmt.Sprintf("%d tasks of %s run", n, name), 60*time.Second, func() error {
		found = nil
		all := d.ps(t)
		for _, task := range all {
			if strings.HasPrefix(task.Name, name) && task.State == "RUNNING" {
				found = append(found, task)
			}
		}
		if len(found) != n {
			return fmt.Errorf("%d run: %v", len(found), all)
		}
		return nil
	})
	return found
}

func TestDevWithDemoServesAndLeavesNothingBehind(t *testing.T) {
	needRoot(t)
	interfaces := countInterfaces(t)
	state := t.TempDir()
	master, marathon, agent := freePort(t), freePort(t), freePort(t)
	for _, agent := range []int{agent, agent, freePort(t)} { // a second run works, and one with another agent
		d := startDevOn(t, state, master, marathon, agent, "--demo")
		for _, task := range d.running(t, "demo", 3) {
			eventually(t, "the demo answers", 20*time.Second, func() error {
				body, err := get("http://127.0.0.1:" + task.Ports)
				if err == nil && !strings.Contains(body, "gora") {
					err = errors.New("no word of agora in " + body)
				}
				return err
			})
		}
		d.stop(syscall.SIGINT)
		if code := d.cmd.ProcessState.ExitCode(); code != 0 && code != 130 {
			t.Errorf("agora dev ended with %d: %s", code, d.output())
		}
		givenBack(t, interfaces, state)
	}
}

func TestDevWithThreeAgents(t *testing.T) {
	d := startDev(t, "--agents", "3", "--resources", "cpus:2;mem:512;disk:512;ports:[31000-31100]")
	eventually(t, "three nodes", 20*time.Second, func() error {
		_, out, errOut := d.agora(t, "node", "ls", "-o", "json")
		var nodes []struct {
			ID, Hostname, State string
			Total               map[string]float64
		}
		if err := json.Unmarshal([]byte(out), &nodes); err != nil {
			return fmt.Errorf("%w: %s %s", err, out, errOut)
		}
		names := map[string]bool{}
		for _, node := range nodes {
			if node.State == "active" && node.Total["cpus"] == 2 {
				names[node.Hostname] = true
			}
		}
		if len(names) != 3 {
			return fmt.Errorf("nodes: %s", out)
		}
		return nil
	})
}

func TestRunInTheForeground(t *testing.T) {
	d := startDev(t)
	for _, test := range []struct {
		name        string
		args        []string
		code        int
		out, errOut string
	}{
		{"output of an image", []string{"run", "builtin/shell", "--", "echo", "hello"}, 0, "hello\n", ""},
		{"status", []string{"run", "--", "sh", "-c", "echo out; echo err >&2; exit 3"}, 3, "out\n", "err"},
		{"environment", []string{"run", "-e", "A=b c", "builtin/shell", "--", "sh", "-c", `echo "$A"`}, 0, "b c\n", ""},
		{"port", []string{"run", "-p", "0", "--", "sh", "-c", `test "$PORT0" -ge 31000 && echo yes`}, 0, "yes\n", ""},
		{"removed sandbox", []string{"run", "--rm", "--", "sh", "-c", "echo short-lived > file; cat file"}, 0, "short-lived\n", ""},
		{"pid namespace", []string{"run", "--", "sh", "-c", `test $$ -lt 20 && echo small`}, 0, "small\n", ""},
		{"unknown command", []string{"run", "builtin/shell", "--", "/no/such/command"}, 127, "", "/no/such/command"},
		{"unknown image", []string{"run", "builtin/nothing"}, 125, "", "builtin/nothing"},
		{"unreachable image registry", []string{"run", "127.0.0.1:1/a/b"}, 125, "", "127.0.0.1:1"},
		{"memory", []string{"run", "--mem", "32m", "builtin/shell", "--", "stress", "--mem", "200"}, 137, "", "emory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := d.agora(t, test.args...)
			if code != test.code || out != test.out || !strings.Contains(errOut, test.errOut) {
				t.Errorf("agora %q: exit %d, out %q, err %q; want %d, %q, %q", test.args, code, out, errOut, test.code, test.out, test.errOut)
			}
			if code >= 125 && strings.Count(strings.TrimSpace(errOut), "\n") > 0 {
				t.Errorf("agora %q: more than one line: %s", test.args, errOut)
			}
		})
	}
}

func TestRemovedSandboxIsGone(t *testing.T) {
	d := startDev(t)
	for _, args := range [][]string{{"run", "--", "sh", "-c", "echo kept > kept"}, {"run", "--rm", "--", "sh", "-c", "echo gone > gone"}} {
		if code, _, errOut := d.agora(t, args...); code != 0 {
			t.Fatalf("agora %q: exit %d: %s", args, code, errOut)
		}
	}
	runs := d.state + "/agents/1/slaves/*/frameworks/*/executors/*/runs/*/"
	eventually(t, "one sandbox is kept, the other gone", 10*time.Second, func() error {
		kept, _ := filepath.Glob(runs + "kept")
		gone, _ := filepath.Glob(runs + "gone")
		if len(kept) == 0 || len(gone) > 0 {
			return fmt.Errorf("kept %q, gone %q", kept, gone)
		}
		return nil
	})
}

func TestAppScalesRestartsAndEnds(t *testing.T) {
	d := startDev(t)
	if code, _, errOut := d.agora(t, "run", "-d", "--instances", "2", "--name", "web", "-p", "0", "builtin/demo"); code != 0 {
		t.Fatalf("run -d: exit %d: %s", code, errOut)
	}
	tasks := d.running(t, "web", 2)
	if code, out, errOut := d.agora(t, "exec", tasks[0].ID, "--", "sh", "-c", "echo inside; exit 4"); code != 4 || out != "inside\n" {
		t.Errorf("exec: exit %d, out %q, err %q; want 4, inside", code, out, errOut)
	}
	if code, out, errOut := d.agora(t, "logs", tasks[0].ID); code != 0 || out+errOut == "" {
		t.Errorf("logs: exit %d, out %q, err %q", code, out, errOut)
	}
	if code, _, errOut := d.agora(t, "kill", "--task", tasks[0].ID); code != 0 {
		t.Errorf("kill --task: exit %d: %s", code, errOut)
	}
	eventually(t, "the killed task is replaced", 60*time.Second, func() error {
		for _, task := range d.running(t, "web", 2) {
			if task.ID == tasks[0].ID {
				return errors.New("the old task still runs")
			}
		}
		return nil
	})
	if code, _, errOut := d.agora(t, "scale", "web", "4"); code != 0 {
		t.Errorf("scale: exit %d: %s", code, errOut)
	}
	d.running(t, "web", 4)
	if code, _, errOut := d.agora(t, "kill", "web"); code != 0 {
		t.Errorf("kill: exit %d: %s", code, errOut)
	}
	d.running(t, "web", 0)
}

func TestCurlScript(t *testing.T) {
	d := startDev(t)
	out, err := exec.CommandContext(t.Context(), "./curl.sh", d.master).CombinedOutput()
	if err != nil {
		t.Fatalf("curl.sh: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestBadInputGivesOneLine(t *testing.T) {
	needRoot(t)
	d := startDev(t)
	work, interfaces := t.TempDir(), countInterfaces(t)
	port := d.master[strings.LastIndex(d.master, ":")+1:]
	for _, test := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--master", "127.0.0.1:1", "ps"}, 4, "127.0.0.1:1"},
		{[]string{"--master", "no.such.host.invalid", "ps"}, 4, "no.such.host.invalid"},
		{[]string{"dev", "--state-dir", t.TempDir(), "--master-port", port}, 1, port},
		{[]string{"master", "--ip=127.0.0.1", "--port=" + port, "--work_dir=" + t.TempDir()}, 1, port},
		{[]string{"master", "--no_such_flag"}, 2, "no_such_flag"},
		{[]string{"agent", "--master=" + d.master, "--work_dir=" + work, "--resources=cpus:many"}, 2, "cpus"},
		{[]string{"master", "--ip=0.0.0.0", "--work_dir=" + t.TempDir()}, 2, "--insecure"},
		{[]string{"--master", d.master, "logs", "nothing"}, 3, "nothing"},
	} {
		code, _, errOut := agora(t, test.args...)
		if code != test.code || !strings.Contains(errOut, test.text) || strings.Count(strings.TrimSpace(errOut), "\n") > 0 {
			t.Errorf("agora %q: exit %d, %q; want %d and one line with %q", test.args, code, errOut, test.code, test.text)
		}
	}
	givenBack(t, interfaces, work)
}

func TestOCILauncherRunsTheSame(t *testing.T) {
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("SKIP: runc is not installed; apt-get install runc")
	}
	state, interfaces := t.TempDir(), countInterfaces(t)
	d := startDevIn(t, state, "--launcher", "oci")
	for _, test := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"run", "builtin/shell", "--", "echo", "hello"}, 0, "hello\n"},
		{[]string{"run", "--", "sh", "-c", "echo out; exit 3"}, 3, "out\n"},
	} {
		if code, out, errOut := d.agora(t, test.args...); code != test.code || out != test.out {
			t.Errorf("agora %q: exit %d, out %q, err %q; want %d, %q", test.args, code, out, errOut, test.code, test.out)
		}
	}
	d.stop(syscall.SIGINT)
	givenBack(t, interfaces, state)
}
