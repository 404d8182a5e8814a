// Package simagents joins agents without containers to a running master, for capacity
// planning and for measurements: thousands of them fit in one process.
//
// It owns one real link per agent and what each agent believes to run. It promises the life
// that the protocol promises (one update at a time, repeated until acknowledged; tasks told
// again after a new election; killed tasks end) and that Close says goodbye. It refuses to
// run anything: a launch is answered with TASK_RUNNING after Config.Latency.
package simagents

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/agentlink"
)

// Config describes a fleet. Zero values are good, but for Dial and Agents.
type Config struct {
	// Dial opens a link to the leading master, for the agent of that number.
	Dial func(ctx context.Context, agent int) (*agentlink.Stream, error)
	// Agents is how many.
	Agents int
	// Info is what each agent says of itself; ID, hostname and port are filled in. Without
	// resources: 32 cpus, 128 GiB of memory, 1 TiB of disk, ports.
	Info *mesos.AgentInfo
	// Version is the Mesos version that the agents claim; default 1.11.0.
	Version string
	// Tasks is how many tasks run on each agent when it joins. They belong to Frameworks in
	// turn, each with TaskResources (default 0.1 cpus, 32 MiB).
	Tasks         int
	Frameworks    []*mesos.FrameworkInfo
	TaskResources []*mesos.Resource
	// Completed is how many ended tasks of each framework the first agent tells of; none of
	// Tasks runs there then.
	Completed int
	// Latency is the time from a launch to TASK_RUNNING; Lifetime that from there to
	// TASK_FINISHED, zero for ever.
	Latency, Lifetime time.Duration
	// Joining bounds how many agents join at once; default 64.
	Joining int
	// Acknowledged, when set, is told each acknowledgement that arrives.
	Acknowledged func(task string)
}

// ErrClosed says that the fleet was closed.
var ErrClosed = errors.New("the simulated agents have ended")

// Fleet is the agents. Make it with Join.
type Fleet struct {
	cfg    Config
	agents []*agent
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	joined atomic.Int64
	began  float64 // seconds since 1970
}

// Join connects every agent and waits until the master has taken each. The fleet lives until
// Close; ctx bounds only the joining.
func Join(ctx context.Context, cfg Config) (*Fleet, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, began: float64(time.Now().UnixMilli()) / 1e3}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	prefix := "simulated-" + uuid.NewString()
	room := make(chan struct{}, cfg.Joining)
	failed := make(chan error, 1)
	var joining sync.WaitGroup
	for n := range cfg.Agents {
		a := f.newAgent(prefix, n)
		f.agents = append(f.agents, a)
		if n == 1 {
			// Completed tasks are taken from whoever tells of a framework first.
			joining.Wait()
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		joining.Go(func() {
			defer func() { <-room }()
			if err := a.join(ctx); err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	joining.Wait()
	f.wg.Go(f.repeat)
	select {
	case err := <-failed:
		f.Close()
		return nil, err
	default:
		return f, nil
	}
}

func (cfg Config) complete() (Config, error) {
	if cfg.Dial == nil || cfg.Agents < 1 {
		return cfg, errors.New("simulated agents: a dialler and at least one agent are needed")
	}
	if cfg.Tasks > 0 && len(cfg.Frameworks) == 0 {
		return cfg, errors.New("simulated agents: tasks need a framework that owns them")
	}
	info := &mesos.AgentInfo{}
	if cfg.Info != nil {
		info = proto.CloneOf(cfg.Info)
	}
	if len(info.Resources) == 0 {
		info.Resources = []*mesos.Resource{Scalar("cpus", 32), Scalar("mem", 128<<10), Scalar("disk", 1<<20),
			{Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{
				Range: []*mesos.Value_Range{{Begin: proto.Uint64(31000), End: proto.Uint64(32000)}}}}}
	}
	cfg.Info = info
	if cfg.Version == "" {
		cfg.Version = "1.11.0"
	}
	if len(cfg.TaskResources) == 0 {
		cfg.TaskResources = []*mesos.Resource{Scalar("cpus", 0.1), Scalar("mem", 32)}
	}
	if cfg.Joining == 0 {
		cfg.Joining = 64
	}
	return cfg, nil
}

// Scalar makes a resource.
func Scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
}

// Len is the number of agents that the master has taken and whose link stands.
func (f *Fleet) Len() int { return int(f.joined.Load()) }

// Repeat and pause are those of Mesos: docs/scheduler-http-api.md, agent registration back-off.
const (
	repeatAfter = 10 * time.Second
	firstPause  = time.Second
	longestWait = time.Minute
)

// repeat sends again what was not acknowledged.
func (f *Fleet) repeat() {
	ticker := time.NewTicker(repeatAfter)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, a := range f.agents {
				a.repeat()
			}
		case <-f.ctx.Done():
			return
		}
	}
}

// Close says goodbye for every agent and waits for the goroutines.
func (f *Fleet) Close() {
	for _, a := range f.agents {
		a.goodbye()
	}
	f.cancel()
	f.wg.Wait()
}

// Update sends a new state of a task that an agent came with: for those who need updates
// without launching. The message has the task's number in it.
func (f *Fleet) Update(agent, task int, state mesos.TaskState) error {
	if agent >= len(f.agents) || task >= f.agents[agent].count() {
		return fmt.Errorf("simulated agents: no task %d on agent %d", task, agent)
	}
	f.agents[agent].updateBrought(task, state)
	return nil
}
