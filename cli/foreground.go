package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"

	schedulerpb "agora.dev/agora/api/mesos/v1/scheduler"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/scheduler"
)

const (
	// offerPatience is how long a run waits in silence before it says what it waits for.
	offerPatience = 3 * time.Second
	// goodbye bounds the calls that a run makes when it is over.
	goodbye = 5 * time.Second
)

// errEnded stops the subscription once the task has ended.
var errEnded = errors.New("the task has ended")

// runForeground runs one task as a framework of its own, and ends with its status.
func (a *App) runForeground(ctx context.Context, o runOptions) error {
	f := &foreground{options: o, taskID: o.Name + "." + uuid.NewString()[:8]}
	r := &runner{app: a, core: f, signals: make(chan os.Signal, 8),
		client: scheduler.New(a.schedulerConfig(a.masterAddr()))}
	defer r.client.Close()
	signal.Notify(r.signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(r.signals)
	return r.run(ctx)
}

// runner gives the pure foreground its stream, signals and output.
type runner struct {
	app     *App
	core    *foreground
	client  *scheduler.Client
	signals chan os.Signal
	events  chan *schedulerpb.Event
	lost    chan error
	kills   int
	output  *follower
	// last acknowledges the end, once all output has been shown.
	last *schedulerpb.Call
}

func (r *runner) run(ctx context.Context) error {
	// What the user interrupts is the task, not the conversation about it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r.events, r.lost = make(chan *schedulerpb.Event), make(chan error, 1)
	ended := make(chan error, 1)
	info := r.core.framework(userName(), "")
	go func() {
		ended <- r.client.Run(ctx, &schedulerpb.Call_Subscribe{FrameworkInfo: info}, r)
	}()
	patience := time.NewTimer(offerPatience)
	defer patience.Stop()
	progress := r.progress(ctx)
	defer progress.stop()
	for {
		select {
		case event := <-r.events:
			progress.clear()
			if err := r.handle(ctx, event); errors.Is(err, errEnded) {
				return r.finish(ctx)
			} else if err != nil {
				return err
			}
		case s := <-r.signals:
			if done := r.interrupt(ctx, s); done {
				return quietExit(ExitSignal + int(s.(syscall.Signal)))
			}
		case <-patience.C:
			r.explainWaiting()
		case text := <-progress.text:
			progress.show(text, r.core)
		case err := <-r.lost:
			if !r.core.launched && isUnreachable(err) {
				return err
			}
		case err := <-ended:
			return exitf(ExitNotRun, "%v", err)
		}
	}
}

// Event hands an event of the stream to the loop.
func (r *runner) Event(ctx context.Context, event *schedulerpb.Event) error {
	select {
	case r.events <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Disconnected tells the loop that the master went away.
func (r *runner) Disconnected(err error) {
	select {
	case r.lost <- err:
	default:
	}
}

func (r *runner) handle(ctx context.Context, event *schedulerpb.Event) error {
	if event.GetType() == schedulerpb.Event_ERROR {
		return exitf(ExitNotRun, "the master refuses: %s", event.GetError().GetMessage())
	}
	was := r.core.status.GetState()
	for _, call := range r.core.on(event) {
		if r.core.ended() && call.GetType() == schedulerpb.Call_ACKNOWLEDGE {
			r.last = call // with --rm the output goes with it
			continue
		}
		if err := r.client.Call(ctx, call); err != nil && call.GetType() == schedulerpb.Call_ACCEPT {
			return fmt.Errorf("launch: %w", err)
		}
	}
	if state := r.core.status.GetState(); state == mesos.TaskState_TASK_RUNNING && was != state && r.output == nil {
		r.output = r.app.follow(ctx, r.core.taskID)
	}
	if r.core.ended() {
		return errEnded
	}
	return nil
}

// interrupt forwards a signal: the first ends the task with its grace period, the second
// at once, the third leaves without waiting.
func (r *runner) interrupt(ctx context.Context, _ os.Signal) (leave bool) {
	r.kills++
	if !r.core.launched || r.kills > 2 {
		r.teardown(ctx)
		return true
	}
	if err := r.client.Call(ctx, r.core.kill(r.kills > 1)); err != nil {
		fmt.Fprintf(r.app.Err, "agora: kill: %v\n", err)
	}
	return false
}

// finish shows the rest of the output, says goodbye to the master and gives the exit code.
func (r *runner) finish(ctx context.Context) error {
	if r.output == nil && r.core.status.GetSource() == mesos.TaskStatus_SOURCE_EXECUTOR {
		r.output = r.app.follow(ctx, r.core.taskID)
	}
	if r.output != nil {
		r.output.drain()
	}
	if r.last != nil {
		if err := r.client.Call(ctx, r.last); err != nil {
			fmt.Fprintf(r.app.Err, "agora: acknowledge the end of the task: %v\n", err)
		}
	}
	r.teardown(ctx)
	code, text := r.core.exit()
	if code == 0 {
		return nil
	}
	return exitf(code, "%s", text)
}

func (r *runner) teardown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	// An error changes nothing: without a failover timeout the master tears it down anyway.
	_ = r.client.Call(ctx, &schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
}

// explainWaiting tells the user why nothing happens.
func (r *runner) explainWaiting() {
	switch {
	case r.core.launched:
	case r.core.closest != "":
		fmt.Fprintf(r.app.Err, "agora: waiting for an offer that fits: %s; agora node ls shows what is free\n", r.core.closest)
	default:
		fmt.Fprintln(r.app.Err, "agora: waiting for an offer: no agent has anything free; agora node ls shows them")
	}
}

// userName is the user whose tasks these are.
func userName() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "root"
}
