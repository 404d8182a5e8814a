package golden

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/assembly"
	"agora.dev/agora/master"
)

// TestMain is also the launcher of the agents under test, which start this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "launcher" {
		os.Exit(assembly.Launcher(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// cluster is a master, and an agent as it was when the answers were recorded.
type cluster struct {
	*Tester
	work string
}

func newCluster(t *testing.T, report *Report) *cluster {
	t.Helper()
	cfg := master.NewConfig()
	cfg.Port, cfg.Journal.Dir, cfg.WorkDir = 0, t.TempDir(), t.TempDir()
	cfg.Hostname, cfg.Journal.File = "localhost", aLog(t)
	cfg.FlagValues = cfg.Flags().Values()
	m, err := master.New(cfg, master.Deps{Log: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, "master", m.Run)
	c := &cluster{Tester: &Tester{Root: *recordings, Master: m.Addr(), Report: report}}
	c.until(t, "the master leads", func() bool { return c.code(c.Master, "/state-summary") == http.StatusOK })
	return c
}

// startAgent adds an agent with the resources and attributes of the recordings.
func (c *cluster) startAgent(t *testing.T, options ...func(*agent.Config)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: the agent's containers are real")
	}
	cfg := agent.Default()
	cfg.Master, cfg.Port, cfg.Hostname, cfg.WorkDir = c.Master, 0, "localhost", t.TempDir()
	cfg.Resources, cfg.Attributes = "cpus:8;mem:8192;disk:10000;ports:[31000-32000]", "rack:r1;zone:z1"
	cfg.AuthenticateHTTPExecutors, cfg.Journal.File = false, aLog(t)
	cfg.Isolation, cfg.CountProcesses = "posix/cpu,posix/mem", false
	for _, option := range options {
		option(&cfg)
	}
	log := logger(t)
	stack, err := assembly.New(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(cfg, agent.Deps{Containerizer: stack.Containerizer, Images: stack.Images, Figures: stack.Figures, Timers: stack.Timers, Pulls: stack.Store.Pulls, Waits: stack.Waits, Peak: stack.Peak, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Errorf("stop the launcher: %v", err)
		}
		stack.Close()
	})
	run(t, "agent", a.Run)
	c.Agent, c.work = a.Address(), cfg.WorkDir
	c.until(t, "the agent is registered", func() bool {
		_, port, _ := net.SplitHostPort(c.Agent)
		return c.code(c.Agent, "/health") == http.StatusOK && strings.Contains(c.text("/slaves"), "slave(1)@127.0.0.1:"+port)
	})
}

// aLog is the log file that a component shows.
func aLog(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, bytes.Repeat([]byte("a line of the log\n"), 10), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// run runs a component until the end of the test.
func run(t *testing.T, what string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", what, err)
		}
	})
}

func logger(t *testing.T) *slog.Logger {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if text, err := os.ReadFile(f.Name()); err == nil && t.Failed() {
			t.Logf("log:\n%s", text)
		}
	})
	return slog.New(slog.NewTextHandler(f, nil))
}

const patience = 30 * time.Second

// until polls, with the time that one request takes as its pause.
func (c *cluster) until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ready(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

func (c *cluster) code(address, path string) int {
	a, err := c.send(context.Background(), Request{Method: "GET", Path: path, Header: http.Header{}, agent: address == c.Agent && address != c.Master})
	if err != nil {
		return 0
	}
	return a.Status
}

// text is the master's answer to a GET.
func (c *cluster) text(path string) string {
	a, err := c.send(context.Background(), Request{Method: "GET", Path: path, Header: http.Header{}})
	if err != nil {
		return err.Error()
	}
	return string(a.Body)
}
