package e2e

import (
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
	cmd := exec.Command(binary, "--master", d.master, "exec", "-it", "shell", "--", "sh")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 31, Cols: 91})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	ended := make(chan error, 1)
	shown := &screen{}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := terminal.Read(buffer)
			shown.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		ended <- cmd.Wait()
	}()
	shows := func(input, want string) {
		t.Helper()
		if _, err := terminal.WriteString(input); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the terminal shows "+want, 20*time.Second, func() error {
			if text := shown.String(); !strings.Contains(text, want) {
				return &quoted{text}
			}
			return nil
		})
	}
	shows("stty size; echo in-$((40+2))\n", "31 91")
	shows("", "in-42")
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 20, Cols: 70}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new size arrives", 20*time.Second, func() error {
		if _, err := terminal.WriteString("stty size\n"); err != nil {
			t.Fatal(err)
		}
		if text := shown.String(); !strings.Contains(text, "20 70") {
			return &quoted{text}
		}
		return nil
	})
	if _, err := terminal.WriteString("exit 5\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("agora exec did not end: %q", shown.String())
	}
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit %d, want 5: %q", code, shown.String())
	}
}

// quoted is a text that was not what was waited for.
type quoted struct{ text string }

func (q *quoted) Error() string { return strings.ReplaceAll(q.text, "\r\n", "\n") }
