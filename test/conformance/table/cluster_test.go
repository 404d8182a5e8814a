package table

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/assembly"
	"agora.dev/agora/agent/images"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/testkit/imagekit"
	"agora.dev/agora/master"
)

// TestMain is also the launcher of the agent under test, which starts this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "launcher" {
		os.Exit(assembly.Launcher(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// patience bounds waiting for something real.
const patience = 30 * time.Second

// cluster is a real master and a real agent.
type cluster struct {
	t         *testing.T
	addresses map[string]string
	options   map[string]*flags.Set
	stream    string // of the framework
	framework string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: needs root: the agent is real")
	}
	cfg := master.NewConfig()
	cfg.Port, cfg.WorkDir, cfg.Hostname = 0, t.TempDir(), "localhost"
	m, err := master.New(cfg, master.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, m.Run)
	own := agent.Default()
	own.Master, own.Port, own.Hostname, own.WorkDir = m.Addr(), 0, "localhost", t.TempDir()
	own.Resources, own.AuthenticateHTTPExecutors = "cpus:4;mem:1024;disk:1000;ports:[31000-32000]", false
	stack, err := assembly.New(t.Context(), own, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Errorf("stop the launcher: %v", err)
		}
		stack.Close()
	})
	pullTwice(t, stack.Store)
	a, err := agent.New(own, agent.Deps{Containerizer: stack.Containerizer, Images: stack.Images, Figures: stack.Figures, Timers: stack.Timers, Pulls: stack.Store.Pulls, Waits: stack.Waits, Peak: stack.Peak})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a.Run)
	agentOptions := flags.New("MESOS_")
	own.Flags(agentOptions)
	c := &cluster{t: t, addresses: map[string]string{"master": m.Addr(), "agent": a.Address()},
		options: map[string]*flags.Set{"master": cfg.Flags(), "agent": agentOptions}}
	c.until("the agent is registered", func() bool {
		_, body, _ := c.get("master", "/slaves")
		return strings.Contains(body, `"active":true`)
	})
	return c
}

// pullTwice gives the agent's times of pulls their values.
func pullTwice(t *testing.T, store *images.Store) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/empty:1"
	image, err := imagekit.Image(v1.Config{})
	if err == nil {
		err = imagekit.Push(ref, image)
	}
	for range 2 {
		if err == nil {
			_, err = store.Pull(t.Context(), ref, nil, nil)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a component until the end of the test.
func run(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Errorf("run: %v", err)
		}
	})
}

func (c *cluster) until(what string, ready func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ready(); <-tick.C {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// get does not follow redirects.
func (c *cluster) get(who, path string) (status int, body string, err error) {
	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + c.addresses[who] + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return r.StatusCode, string(text), err
}

// post sends a call, and reads at most the beginning of the answer, which may be a stream.
func (c *cluster) post(who, path, body string) (status int, answer string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+c.addresses[who]+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	if path == "/api/v1/scheduler" {
		r.Header.Set("Mesos-Stream-Id", c.stream)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", path, body, err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		answer = string(text)
	}
	return response.StatusCode, answer
}

// subscribe gives the cluster a framework, whose stream ends with the test.
func (c *cluster) subscribe() {
	c.t.Helper()
	body := `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"table","roles":["web"],"failover_timeout":3600,"capabilities":[{"type":"MULTI_ROLE"}]}}}`
	r, err := http.Post("http://"+c.addresses["master"]+"/api/v1/scheduler", "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { r.Body.Close() })
	c.stream = r.Header.Get("Mesos-Stream-Id")
	records := bufio.NewReader(r.Body)
	if _, err := records.ReadString('\n'); err != nil {
		c.t.Fatal(err)
	}
	var event struct {
		Subscribed struct {
			FrameworkID struct {
				Value string
			} `json:"framework_id"`
		}
	}
	if err := json.NewDecoder(records).Decode(&event); err != nil || event.Subscribed.FrameworkID.Value == "" {
		c.t.Fatalf("no SUBSCRIBED: %v", err)
	}
	c.framework = event.Subscribed.FrameworkID.Value
}
