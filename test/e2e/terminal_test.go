package e2e

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// screen is what a terminal has shown.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// agora exec -it from a real terminal: input, output, the window's size and its change, and the
// status of the command, all over the relay of the master.
func TestExecWithATerminal(t *testing.T) {
	d := startDev(t)
	start(t, "agora run shell", "--master", d.master, "run", "--name", "shell", "--", "sleep", "1000")
	d.running(t, "shell", 1)
	a := d.inTerminal(t, 31, 91, "exec", "-it", "shell", "--", "sh")
	a.shows("stty size; echo in-$((40+2))\n", "31 91")
	a.shows("", "in-42")
	if err := pty.Setsize(a.terminal, &pty.Winsize{Rows: 20, Cols: 70}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new size arrives", 20*time.Second, func() error {
		if _, err := a.terminal.WriteString("stty size\n"); err != nil {
			t.Fatal(err)
		}
		if text := a.shown.String(); !strings.Contains(text, "20 70") {
			return &quoted{text}
		}
		return nil
	})
	a.shows("exit 5\n", "")
	a.ends(5)
}

// attached is a command of agora in a terminal.
type attached struct {
	t        *testing.T
	cmd      *exec.Cmd
	terminal *os.File
	shown    *screen
	ended    chan error
}

func (d *dev) inTerminal(t *testing.T, rows, cols uint16, args ...string) *attached {
	t.Helper()
	a := &attached{t: t, cmd: exec.Command(binary, append([]string{"--master", d.master}, args...)...), shown: &screen{}, ended: make(chan error, 1)}
	var err error
	if a.terminal, err = pty.StartWithSize(a.cmd, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.cmd.Process.Kill() // it has ended, unless the test failed
		a.terminal.Close()
	})
	go a.watch()
	return a
}

func (a *attached) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := a.terminal.Read(buffer)
		a.shown.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	a.ended <- a.cmd.Wait()
}

// shows types and waits until the terminal shows a text.
func (a *attached) shows(input, want string) {
	a.t.Helper()
	if _, err := a.terminal.WriteString(input); err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, "the terminal shows "+want, 20*time.Second, func() error {
		if text := a.shown.String(); !strings.Contains(text, want) {
			return &quoted{text}
		}
		return nil
	})
}

// ends waits for the end of the command and checks its exit code.
func (a *attached) ends(code int) {
	a.t.Helper()
	select {
	case <-a.ended:
	case <-time.After(30 * time.Second):
		a.t.Fatalf("agora did not end: %q", a.shown.String())
	}
	if got := a.cmd.ProcessState.ExitCode(); got != code {
		a.t.Errorf("exit %d, want %d: %q", got, code, a.shown.String())
	}
}

// quoted is a text that was not what was waited for.
type quoted struct{ text string }

func (q *quoted) Error() string { return strings.ReplaceAll(q.text, "\r\n", "\n") }
