// Package process runs a built-in executor's core as a process of its own, over the
// agent's executor HTTP API: what any custom executor does.
//
// It promises the same life of tasks as within the agent. Its containers are plain
// processes in the executor's own container, each the leader of a group: what isolates
// them is the executor's container. It refuses tasks with an image or other needs of a
// container of their own.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	execapi "agora.dev/agora/api/mesos/v1/executor"
	client "agora.dev/agora/client/executor"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/command"
	"agora.dev/agora/executor/taskgroup"
)

// Run is the executor of a kind ("command" or "taskgroup") until it has nothing left to
// do. The agent's facts come from the environment.
func Run(ctx context.Context, kind string) error {
	env, err := client.ReadEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	os.Unsetenv("MESOS_EXECUTOR_AUTHENTICATION_TOKEN") // tasks are not to have it
	return RunIn(ctx, kind, env, ".")
}

// RunIn is Run with the agent's facts and the sandbox given.
func RunIn(ctx context.Context, kind string, env client.Environment, sandbox string) error {
	boot, err := bootTime()
	if err != nil {
		return err
	}
	config := executor.Config{
		FrameworkID: env.FrameworkID, ExecutorID: env.ExecutorID, Container: "task",
		ShutdownGrace: env.ShutdownGracePeriod, NewUUID: func() [16]byte { return uuid.New() }, Boot: boot,
	}
	var core executor.Core
	switch kind {
	case "command":
		core = command.New(config)
	case "taskgroup":
		core = taskgroup.New(config)
	default:
		return fmt.Errorf("executor %q is unknown: use command or taskgroup", kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &host{
		core: core, client: client.New(client.Config{Environment: env}), inputs: make(chan executor.Input, 64),
		calls: make(chan *execapi.Call, 1024), done: make(chan struct{}),
	}
	defer h.client.Close()
	h.processes = newProcesses(sandbox, h.post)
	agent := make(chan error, 1)
	go func() { agent <- h.client.Run(ctx, h) }()
	calling := make(chan struct{})
	go func() { defer close(calling); h.call(ctx) }()
	err = h.loop(ctx, agent)
	close(h.done)
	h.processes.destroyAll()
	cancel()
	<-calling
	return err
}

// host steps the core.
type host struct {
	core      executor.Core
	client    *client.Client
	processes *processes
	inputs    chan executor.Input
	calls     chan *execapi.Call // updates and messages on their way, in order
	done      chan struct{}      // closed when nobody steps the core any more
}

func (h *host) post(in executor.Input) {
	select {
	case h.inputs <- in:
	case <-h.done:
	}
}

// Event hands an event of the agent to the core.
func (h *host) Event(ctx context.Context, event *execapi.Event) error {
	h.post(executor.FromAgent{Event: event})
	return ctx.Err()
}

// Disconnected tells the core.
func (h *host) Disconnected(error) { h.post(executor.Disconnected{}) }

// loop handles inputs until the core is done, or the agent is lost.
func (h *host) loop(ctx context.Context, agent <-chan error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var in executor.Input
		select {
		case in = <-h.inputs:
		case <-timer.C:
			in = executor.Tick{}
		case err := <-agent:
			return err // what still runs is destroyed by the caller
		case <-ctx.Done():
			return ctx.Err()
		}
		if event, ok := in.(executor.FromAgent); ok && event.Event.GetType() == execapi.Event_ERROR {
			return errors.New(event.Event.GetError().GetMessage())
		}
		ready := h.core.Step(time.Now(), in)
		for _, call := range ready.Calls {
			h.calls <- call
		}
		for _, c := range ready.Commands {
			h.processes.do(c)
		}
		if ready.Done {
			return nil
		}
		timer.Reset(time.Hour)
		if !ready.Wake.IsZero() {
			timer.Reset(max(0, time.Until(ready.Wake)))
		}
	}
}

// call sends updates in order. One that is not delivered stays with the client, which
// repeats it with the next subscription.
func (h *host) call(ctx context.Context) {
	for {
		select {
		case call := <-h.calls:
			_ = h.client.Call(ctx, call)
		case <-ctx.Done():
			return
		}
	}
}

func bootTime() (time.Time, error) {
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	return time.Now().Add(-time.Duration(since.Nano())).Round(0), nil
}
