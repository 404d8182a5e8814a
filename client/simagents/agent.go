package simagents

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/agentlink"
)

// agent is one of the fleet. Its own goroutine reads the link; mu guards what others use too.
type agent struct {
	fleet  *Fleet
	number int
	info   *mesos.AgentInfo

	mu       sync.Mutex
	stream   *agentlink.Stream // nil while the link is down
	draining bool
	drained  bool // and the master knows that nothing is left
	closed   bool
	tasks    map[taskKey]*task
	// ended are the tasks that it came with and that it has no more.
	ended map[taskKey]bool
}

type taskKey struct{ framework, task string }

// firstPort tells agents of one host apart; a master takes one host and port for one agent.
const firstPort = 10000

func (f *Fleet) newAgent(prefix string, n int) *agent {
	info := proto.CloneOf(f.cfg.Info)
	info.Id = &mesos.AgentID{Value: proto.String(fmt.Sprintf("%s-S%d", prefix, n))}
	if info.Hostname == nil {
		info.Hostname = proto.String(fmt.Sprintf("simulated-%d", n))
	}
	info.Port = proto.Int32(int32(firstPort + n))
	return &agent{fleet: f, number: n, info: info, tasks: map[taskKey]*task{}, ended: map[taskKey]bool{}}
}

// join connects once, waits for the master's answer, and leaves a goroutine that keeps the
// agent joined.
func (a *agent) join(ctx context.Context) error {
	stream, err := a.register(ctx)
	if err != nil {
		return fmt.Errorf("simulated agent %d: %w", a.number, err)
	}
	a.fleet.wg.Go(func() { a.stay(stream) })
	return nil
}

// register opens a link and has the master answer; it tries again while the master only puts off.
func (a *agent) register(ctx context.Context) (*agentlink.Stream, error) {
	stream, err := a.fleet.cfg.Dial(ctx, a.number)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	for {
		if err := stream.Send(a.reregistration()); err != nil {
			stream.Close()
			return nil, err
		}
		message, err := stream.Recv()
		if err != nil {
			stream.Close()
			return nil, err
		}
		switch m := message.Message.(type) {
		case *link.FromMaster_Reregistered:
			a.online(stream, m.Reregistered.GetReconcile())
			a.mu.Lock()
			a.follow(m.Reregistered.DrainConfig)
			a.tellDrained()
			a.mu.Unlock()
			return stream, nil
		case *link.FromMaster_ShutdownAgent:
			stream.Close()
			return nil, fmt.Errorf("the master shuts it down: %s", m.ShutdownAgent.GetMessage())
		}
		select { // refused for now
		case <-time.After(time.Duration(rand.Int64N(int64(firstPause)))):
		case <-ctx.Done():
			stream.Close()
			return nil, ctx.Err()
		}
	}
}

func (a *agent) reregistration() *link.FromAgent {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &link.Reregister{Agent: a.info, Version: &a.fleet.cfg.Version, Capabilities: capabilities}
	m.Tasks = a.brought()
	known := map[string]bool{}
	tell := func(f *mesos.FrameworkInfo) {
		if id := f.GetId().GetValue(); !known[id] {
			known[id] = true
			m.Frameworks = append(m.Frameworks, f)
		}
	}
	for n := range a.count() {
		tell(a.ownerOf(n))
	}
	if a.number == 0 {
		m.CompletedFrameworks = a.fleet.completed(a.info.Id)
		for _, done := range m.CompletedFrameworks {
			tell(done.Framework)
		}
	}
	for _, t := range a.tasks {
		if t.info == nil {
			continue
		}
		m.Tasks = append(m.Tasks, t.proto(a.info.Id))
		tell(t.framework)
	}
	return &link.FromAgent{Message: &link.FromAgent_Reregister{Reregister: m}}
}

var capabilities = func() (all []*mesos.AgentInfo_Capability) {
	for _, kind := range []mesos.AgentInfo_Capability_Type{mesos.AgentInfo_Capability_MULTI_ROLE,
		mesos.AgentInfo_Capability_HIERARCHICAL_ROLE, mesos.AgentInfo_Capability_RESERVATION_REFINEMENT,
		mesos.AgentInfo_Capability_AGENT_DRAINING, mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS} {
		all = append(all, &mesos.AgentInfo_Capability{Type: kind.Enum()})
	}
	return all
}()

func (a *agent) online(stream *agentlink.Stream, reconcile []*link.ReconcileTask) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stream = stream
	if a.closed {
		stream.End()
		return
	}
	a.fleet.joined.Add(1)
	for _, r := range reconcile {
		a.answerUnknown(taskKey{r.GetFrameworkId().GetValue(), r.GetTaskId().GetValue()})
	}
	for key, t := range a.tasks {
		a.sendFront(key, t)
	}
}

// stay serves the link, and opens the next one when it breaks.
func (a *agent) stay(stream *agentlink.Stream) {
	for {
		a.serve(stream)
		a.mu.Lock()
		a.stream = nil
		a.fleet.joined.Add(-1)
		closed := a.closed
		a.mu.Unlock()
		stream.Close()
		for pause := firstPause; ; pause = min(2*pause, longestWait) {
			if closed {
				return
			}
			select {
			case <-time.After(time.Duration(rand.Int64N(int64(pause)))):
			case <-a.fleet.ctx.Done():
				return
			}
			var err error
			if stream, err = a.register(a.fleet.ctx); err == nil {
				break
			}
		}
	}
}

// serve answers the master until the link ends.
func (a *agent) serve(stream *agentlink.Stream) {
	stop := context.AfterFunc(a.fleet.ctx, stream.End)
	defer stop()
	for {
		message, err := stream.Recv()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.handle(message)
		a.tellDrained()
		a.mu.Unlock()
	}
}

func (a *agent) handle(message *link.FromMaster) {
	switch m := message.Message.(type) {
	case *link.FromMaster_Ping:
		a.send(&link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{Sequence: m.Ping.Sequence}}})
	case *link.FromMaster_RunTask:
		a.launch(m.RunTask.GetFramework(), m.RunTask.GetTask())
	case *link.FromMaster_RunTaskGroup:
		for _, info := range m.RunTaskGroup.GetTaskGroup().GetTasks() {
			a.launch(m.RunTaskGroup.GetFramework(), info)
		}
	case *link.FromMaster_KillTask:
		a.kill(taskKey{m.KillTask.GetFrameworkId().GetValue(), m.KillTask.GetTaskId().GetValue()})
	case *link.FromMaster_AcknowledgeUpdate:
		a.acknowledge(m.AcknowledgeUpdate)
	case *link.FromMaster_ReconcileTasks:
		for _, r := range m.ReconcileTasks.GetTasks() {
			a.answerUnknown(taskKey{r.GetFrameworkId().GetValue(), r.GetTaskId().GetValue()})
		}
	case *link.FromMaster_ApplyOperation:
		a.refuseOperation(m.ApplyOperation)
	case *link.FromMaster_ShutdownFramework:
		a.forget(m.ShutdownFramework.GetFrameworkId().GetValue())
	case *link.FromMaster_DrainAgent:
		a.follow(m.DrainAgent.Config)
	case *link.FromMaster_ShutdownAgent:
		a.closed = true
		a.stream.End()
	}
}

func (a *agent) send(message *link.FromAgent) {
	if a.stream != nil {
		// A link that fails is noticed by its reader, and everything is told again.
		_ = a.stream.Send(message)
	}
}

func (a *agent) goodbye() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.stream != nil {
		a.send(&link.FromAgent{Message: &link.FromAgent_Unregister{Unregister: &link.Unregister{AgentId: a.info.Id}}})
		a.stream.End()
	}
}
