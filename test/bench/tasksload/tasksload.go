// Package tasksload measures budget P1: tasks a second from ACCEPT to the acknowledgement of
// TASK_RUNNING, through a real master on loopback.
//
// It owns the simulated agents (a real link each, no containers: RunTask is answered with
// TASK_RUNNING at once) and a raw client that pipelines calls. It promises that a task counts
// only when its acknowledgement has reached its agent. It refuses to simulate the master.
package tasksload

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master"
)

// Config is the size of a run.
type Config struct {
	Agents, TasksPerAgent int
	// Master is the address of a running master; empty: one is started in the process.
	Master string
	// Connections carry the scheduler's calls; zero: 4.
	Connections int
}

// Result is what a run measured.
type Result struct {
	Tasks   int
	Elapsed time.Duration
	// PerSecond is tasks acknowledged a second.
	PerSecond float64
	// P50, P99 and Max are times from ACCEPT sent to the acknowledgement at the agent.
	P50, P99, Max time.Duration
}

// load is one run.
type load struct {
	cfg     Config
	address string
	started []time.Time // by task
	ended   []time.Time
	left    atomic.Int64
	done    chan struct{}
}

// Run measures once.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Connections == 0 {
		cfg.Connections = 4
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &load{cfg: cfg, address: cfg.Master, done: make(chan struct{})}
	total := cfg.Agents * cfg.TasksPerAgent
	l.started, l.ended = make([]time.Time, total), make([]time.Time, total)
	l.left.Store(int64(total))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if l.address == "" {
		config := master.NewConfig()
		config.Port = 0
		m, err := master.New(config, master.Deps{})
		if err != nil {
			return Result{}, err
		}
		l.address = m.Addr()
		wg.Go(func() { m.Run(ctx) })
	}
	return l.measure(ctx, &wg)
}

func (l *load) measure(ctx context.Context, wg *sync.WaitGroup) (Result, error) {
	s, err := l.subscribe(ctx)
	if err != nil {
		return Result{}, err
	}
	defer s.close()
	for range l.cfg.Agents {
		agent, err := l.join(ctx)
		if err != nil {
			return Result{}, err
		}
		defer agent.Close()
		wg.Go(func() { l.serve(agent) })
	}
	failed := make(chan error, 1)
	wg.Go(func() { failed <- s.run() })
	begin := time.Now()
	select {
	case <-l.done:
	case err := <-failed:
		return Result{}, fmt.Errorf("tasks load: scheduler: %w", err)
	case <-ctx.Done():
		return Result{}, fmt.Errorf("tasks load: %d tasks not acknowledged: %w", l.left.Load(), ctx.Err())
	}
	return l.result(begin), nil
}

func (l *load) result(begin time.Time) Result {
	first, last := l.started[0], begin
	times := make([]time.Duration, len(l.ended))
	for i, end := range l.ended {
		times[i] = end.Sub(l.started[i])
		if end.After(last) {
			last = end
		}
		if l.started[i].Before(first) {
			first = l.started[i]
		}
	}
	slices.Sort(times)
	n := len(times)
	elapsed := last.Sub(first)
	return Result{Tasks: n, Elapsed: elapsed, PerSecond: float64(n) / elapsed.Seconds(),
		P50: times[n/2], P99: times[n*99/100], Max: times[n-1]}
}

// join registers one agent, just large enough for its tasks.
func (l *load) join(ctx context.Context) (*agentlink.Stream, error) {
	agent, err := agentlink.Dial(ctx, l.address)
	if err != nil {
		return nil, err
	}
	n := float64(l.cfg.TasksPerAgent)
	info := &mesos.AgentInfo{Hostname: ptr("simulated"), Port: ptr(int32(5051)),
		Resources: []*mesos.Resource{scalar("cpus", taskCPUs*n), scalar("mem", taskMem*n)}}
	// One host and port name one agent: give each its own.
	info.Port = ptr(nextPort.Add(1))
	err = agent.Send(&link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{Agent: info, Version: ptr(master.DefaultVersion),
		Capabilities: []*mesos.AgentInfo_Capability{
			{Type: mesos.AgentInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.AgentInfo_Capability_RESERVATION_REFINEMENT.Enum()}}}}})
	if err != nil {
		agent.Close()
		return nil, err
	}
	return agent, nil
}

var nextPort atomic.Int32

const (
	taskCPUs = 0.1
	taskMem  = 32
)

func scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
}

func ptr[T any](v T) *T { return &v }

// serve answers what the master sends until the link ends.
func (l *load) serve(agent *agentlink.Stream) {
	var id *mesos.AgentID
	for {
		m, err := agent.Recv()
		if err != nil {
			return
		}
		switch message := m.Message.(type) {
		case *link.FromMaster_Registered:
			id = message.Registered.AgentId
		case *link.FromMaster_Ping:
			agent.Send(&link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{Sequence: message.Ping.Sequence}}})
		case *link.FromMaster_RunTask:
			agent.Send(running(id, message.RunTask))
		case *link.FromMaster_AcknowledgeUpdate:
			l.acknowledged(message.AcknowledgeUpdate)
		}
	}
}

// running makes the one update of a task; its uuid carries the task's number.
func running(agent *mesos.AgentID, run *link.RunTask) *link.FromAgent {
	uuid := make([]byte, 16)
	copy(uuid, run.Task.TaskId.GetValue())
	state := mesos.TaskState_TASK_RUNNING.Enum()
	return &link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
		FrameworkId: run.Framework.Id, AgentId: agent, LatestState: state,
		Status: &mesos.TaskStatus{TaskId: run.Task.TaskId, State: state, AgentId: agent, Uuid: uuid,
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Timestamp: ptr(float64(time.Now().UnixNano()) / 1e9)}}}}
}

func (l *load) acknowledged(ack *link.AcknowledgeUpdate) {
	task := numberOf(ack.TaskId.GetValue())
	if !l.ended[task].IsZero() {
		return
	}
	l.ended[task] = time.Now()
	if l.left.Add(-1) == 0 {
		close(l.done)
	}
}

const hexDigits = "0123456789abcdef"

// nameOf is a task's id: its number, in hexadecimal.
func nameOf(n int) string {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], uint32(n))
	var out [8]byte
	for i, b := range raw {
		out[2*i], out[2*i+1] = hexDigits[b>>4], hexDigits[b&15]
	}
	return string(out[:])
}

func numberOf(id string) int {
	n := 0
	for _, c := range id {
		n <<= 4
		if c >= 'a' {
			n |= int(c-'a') + 10
		} else {
			n |= int(c - '0')
		}
	}
	return n
}
