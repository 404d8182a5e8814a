package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// pullTick is how often a run asks how far its image is.
const pullTick = time.Second

// imageProgress shows on a terminal how far the image of a run has come.
type imageProgress struct {
	out    io.Writer
	text   chan string // nil: nothing is shown
	cancel context.CancelFunc
	done   chan struct{}
	dirty  bool
}

// progress starts asking; without a terminal or an image nothing is asked.
func (r *runner) progress(ctx context.Context) *imageProgress {
	p := &imageProgress{out: r.app.Err, cancel: func() {}, done: make(chan struct{})}
	if !isTerminal(r.app.Err) || r.core.options.Image == "" {
		close(p.done)
		return p
	}
	p.text = make(chan string)
	ctx, p.cancel = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		p.ask(ctx, r.app, r.core.taskID)
	}()
	return p
}

// ask ends when the task has come further than its image.
func (p *imageProgress) ask(ctx context.Context, app *App, id string) {
	tick := time.NewTicker(pullTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v, err := app.look(ctx)
		if err != nil {
			continue
		}
		for _, t := range v.Tasks {
			if t.GetTaskId().GetValue() == id && (t.Completed || t.GetState() == mesos.TaskState_TASK_RUNNING) {
				return
			}
		}
		select {
		case p.text <- app.pulling(ctx, v.Tasks)[id]:
		case <-ctx.Done():
		}
	}
}

func (p *imageProgress) show(text string, core *foreground) {
	p.clear()
	if text != "" && core.launched && core.status.GetState() != mesos.TaskState_TASK_RUNNING {
		fmt.Fprint(p.out, text)
		p.dirty = true
	}
}

// clear takes the line back.
func (p *imageProgress) clear() {
	if p.dirty {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.dirty = false
	}
}

func (p *imageProgress) stop() {
	p.cancel()
	<-p.done
	p.clear()
}
