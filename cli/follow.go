package cli

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// drainTime bounds the wait for the last output of a task that has ended.
const drainTime = 10 * time.Second

// follower copies a task's standard output and error to the user.
type follower struct {
	group sync.WaitGroup
	over  atomic.Bool
	stop  context.CancelFunc
}

// follow starts copying; what cannot be read yet is tried again.
func (a *App) follow(ctx context.Context, id string) *follower {
	ctx, stop := context.WithCancel(ctx)
	f := &follower{stop: stop}
	for name, out := range map[string]io.Writer{"stdout": a.Out, "stderr": a.Err} {
		f.group.Go(func() { f.copy(ctx, a, id, name, out) })
	}
	return f
}

func (f *follower) copy(ctx context.Context, a *App, id, name string, out io.Writer) {
	var file *sandboxFile
	for ctx.Err() == nil {
		if file == nil {
			file = f.locate(ctx, a, id, name)
		}
		if file != nil {
			// An agent that restarts is waited for; the offset stays.
			if err := file.stream(ctx, out, func(context.Context) bool { return f.over.Load() }); err == nil {
				return
			}
		} else if f.over.Load() {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(logInterval):
		}
	}
}

// locate finds the file of the sandbox; nil while it cannot be read.
func (f *follower) locate(ctx context.Context, a *App, id, name string) *sandboxFile {
	v, err := a.look(ctx)
	if err != nil {
		return nil
	}
	t, err := v.task(id)
	if err != nil {
		return nil
	}
	file := a.sandboxFile(t, name)
	if file.find(ctx, -1) != nil {
		return nil
	}
	return file
}

// drain waits until everything that the ended task wrote has been copied.
func (f *follower) drain() {
	f.over.Store(true)
	timer := time.AfterFunc(drainTime, f.stop)
	defer timer.Stop()
	f.group.Wait()
	f.stop()
}
