package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/assembly"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/kv"
	"agora.dev/agora/kv/etcdkv"
	"agora.dev/agora/master"
	"agora.dev/agora/orchestrator"
)

// stopTimeout bounds how long tasks may take to end when the cluster stops.
const stopTimeout = 30 * time.Second

// Cluster is a running cluster.
type Cluster struct {
	config   Config
	store    kv.Store
	master   *running
	marathon *running
	agents   []*agentNode

	masterAddr, marathonAddr string
	failed                   chan error
	stopOnce                 sync.Once
	stopErr                  error
}

// Agent is one agent of a cluster.
type Agent struct {
	Hostname string
	// Addr is where its API listens, IP:PORT.
	Addr string
}

type agentNode struct {
	Agent
	agent *agent.Agent
	stack *assembly.Stack
	run   *running
}

// running is one component with the end of its goroutine.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// Start starts everything and returns when the agents are on their way to the master.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{config: config, failed: make(chan error, 2+config.Agents)}
	if err := c.start(ctx); err != nil {
		_ = c.Stop() // the first error is the one to show
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := os.MkdirAll(c.config.StateDir, 0o755); err != nil {
		return fmt.Errorf("state directory: %w; choose another with --state-dir", err)
	}
	for what, port := range map[string]int{"master": c.config.MasterPort, "marathon": c.config.MarathonPort} {
		if err := portFree(what, c.config.IP, port); err != nil {
			return err
		}
	}
	store, err := etcdkv.OpenEmbedded(ctx, etcdkv.EmbeddedConfig{Dir: filepath.Join(c.config.StateDir, "kv")})
	if err != nil {
		return err
	}
	c.store = store
	if err := c.startMaster(); err != nil {
		return err
	}
	if err := c.startOrchestrator(); err != nil {
		return err
	}
	for i := range c.config.Agents {
		if err := c.startAgent(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// launch runs a component until Stop; its end before that ends the cluster.
func (c *Cluster) launch(what string, run func(context.Context) error) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = run(ctx)
		if ctx.Err() == nil {
			c.failed <- fmt.Errorf("%s ended: %w", what, r.err)
		}
	}()
	return r
}

func (r *running) stop() error {
	if r == nil {
		return nil
	}
	r.cancel()
	<-r.done
	if errors.Is(r.err, context.Canceled) {
		return nil
	}
	return r.err
}

func (c *Cluster) startMaster() error {
	config := master.NewConfig()
	config.IP, config.Port, config.WorkDir = c.config.IP, c.config.MasterPort, filepath.Join(c.config.StateDir, "master")
	config.Hostname, config.Cluster = "localhost", "dev"
	m, err := master.New(config, master.Deps{Store: c.store, Log: c.config.Log.With("component", "master")})
	if err != nil {
		return err
	}
	c.masterAddr = m.Addr()
	c.master = c.launch("master", m.Run)
	return nil
}

func (c *Cluster) startOrchestrator() error {
	listener, err := net.Listen("tcp", net.JoinHostPort(c.config.IP, strconv.Itoa(c.config.MarathonPort)))
	if err != nil {
		return fmt.Errorf("orchestrator cannot listen: %w", err)
	}
	c.marathonAddr = listener.Addr().String()
	driver := scheduler.New(scheduler.Config{Masters: []string{c.masterAddr}})
	o := orchestrator.New(orchestrator.Config{Address: c.marathonAddr, Hostname: "localhost"},
		orchestrator.Deps{Store: c.store, Driver: driver, Log: c.config.Log.With("component", "orchestrator")})
	server := &http.Server{Handler: o.Handler(), ReadHeaderTimeout: 10 * time.Second}
	c.marathon = c.launch("orchestrator", func(ctx context.Context) error {
		defer driver.Close()
		defer server.Close()
		go func() { _ = server.Serve(listener) }() // ends with Close
		return o.Run(ctx)
	})
	return nil
}

func (c *Cluster) startAgent(ctx context.Context, i int) error {
	config := agent.Default()
	config.Master, config.IP, config.Port = c.masterAddr, c.config.IP, c.config.agentPort(i)
	config.Hostname = fmt.Sprintf("agent%d", i+1)
	config.WorkDir = filepath.Join(c.config.StateDir, "agents", strconv.Itoa(i+1))
	config.Resources = c.config.agentResources(i)
	config.Launcher, config.ImageStore = c.config.Launcher, filepath.Join(c.config.StateDir, ImagesDir)
	config.DockerConfig, config.DockerMirrors, config.InsecureRegistries = c.config.DockerConfig, c.config.DockerMirrors, c.config.InsecureRegistries
	config.SecretsDir = filepath.Join(c.config.StateDir, "secrets") // whoever has secrets makes it
	if err := c.forgetWhenChanged(ctx, config); err != nil {
		return err
	}
	log := c.config.Log.With("component", config.Hostname)
	if err := portFree("agent", config.IP, config.Port); err != nil {
		return err
	}
	stack, err := assembly.New(ctx, config, log)
	if err != nil {
		return err
	}
	a, err := agent.New(config, agent.Deps{Containerizer: stack.Containerizer, Images: stack.Images, Figures: stack.Figures, Timers: stack.Timers, Pulls: stack.Store.Pulls, Waits: stack.Waits, Peak: stack.Peak, Log: log})
	if err != nil {
		return errors.Join(err, stack.Stop(), stack.Close())
	}
	node := &agentNode{Agent: Agent{Hostname: config.Hostname, Addr: a.Address()}, agent: a, stack: stack}
	node.run = c.launch(config.Hostname, a.Run)
	c.agents = append(c.agents, node)
	return nil
}

// Wait blocks until ctx ends or a component fails.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.failed:
		return err
	}
}

// Stop ends the orchestrator, the agents with their tasks, and the master. It may be called
// more than once.
func (c *Cluster) Stop() error {
	c.stopOnce.Do(func() { c.stopErr = c.stop() })
	return c.stopErr
}

func (c *Cluster) stop() error {
	// Without the orchestrator nobody replaces the tasks that end now.
	err := c.marathon.stop()
	var wg sync.WaitGroup
	errs := make([]error, len(c.agents))
	for i, node := range c.agents {
		wg.Go(func() { errs[i] = node.stop() })
	}
	wg.Wait()
	err = errors.Join(err, errors.Join(errs...), c.master.stop())
	if c.store != nil {
		err = errors.Join(err, c.store.Close())
	}
	return err
}

// stop ends an agent's tasks, then the agent, then its launcher.
func (n *agentNode) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := n.agent.Shutdown(ctx)
	select {
	case <-n.run.done: // it has ended its tasks and said goodbye
	case <-ctx.Done():
	}
	err = errors.Join(err, n.run.stop())
	return errors.Join(err, n.stack.Stop(), n.stack.Close())
}

// MasterAddr is where the master listens, IP:PORT.
func (c *Cluster) MasterAddr() string { return c.masterAddr }

// MarathonAddr is where the orchestrator listens, IP:PORT.
func (c *Cluster) MarathonAddr() string { return c.marathonAddr }

// StateDir holds everything that the cluster writes.
func (c *Cluster) StateDir() string { return c.config.StateDir }

// Agents lists the agents.
func (c *Cluster) Agents() []Agent {
	var out []Agent
	for _, node := range c.agents {
		out = append(out, node.Agent)
	}
	return out
}

// Missing says in one line what containers of this cluster do not have; empty when they
// have everything.
func (c *Cluster) Missing() string {
	if len(c.agents) == 0 {
		return ""
	}
	return strings.Join(c.agents[0].stack.Missing(), "; ")
}

// Clear empties a state directory. It refuses a directory that does not look like one.
func Clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ours := map[string]bool{"kv": true, "master": true, "agents": true, ImagesDir: true, "agora.log": true}
	for _, entry := range entries {
		if !ours[entry.Name()] {
			return fmt.Errorf("%s holds %s, which no cluster has made: --fresh refuses to empty it", dir, entry.Name())
		}
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("empty the state directory: %w", err)
		}
	}
	return nil
}
