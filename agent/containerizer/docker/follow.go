package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerlogger"
)

// retryPause is how long is waited for an Engine that does not answer.
const retryPause = time.Second

// copyOutput copies the output of a container into its sandbox until it has ended, or ctx has.
func (c *Containerizer) copyOutput(ctx context.Context, b *box) {
	defer close(b.copied)
	o, err := c.recorded(b.id)
	if err != nil {
		c.log.Error("output of container is not copied", "container", b.id, "error", err)
		return
	}
	for said := false; ; {
		err := c.follow(ctx, b, o)
		if err == nil || ctx.Err() != nil {
			return
		}
		switch {
		case full(err):
			if !said {
				c.log.Warn("output of container waits for room on the disk", "container", b.id, "error", err)
			}
			said = true
		case errdefs.IsNotFound(err), errors.Is(err, errUnwritable), errdefs.IsNotImplemented(err):
			c.log.Warn("output of container is not copied any more", "container", b.id, "error", err)
			return
		default: // the Engine is being restarted
			said = false
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return
		}
	}
}

var (
	errUnwritable = errors.New("the sandbox cannot be written")
	errStalled    = errors.New("the Engine has more of the log than it says")
)

// full says that a write failed for want of room, which may come back.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// copying is the way of one container's output from the Engine's log to its sandbox.
type copying struct {
	*Containerizer
	output
	box   *box
	files [2]*sink
	to    *position
}

// follow reads the Engine's log from where it was left to the container's end. It fails when the
// Engine breaks off.
func (c *Containerizer) follow(ctx context.Context, b *box, o output) error {
	p, err := openPosition(filepath.Join(c.dir(b.id), "position"), o.TTY)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnwritable, err)
	}
	defer p.file.Close()
	f := copying{Containerizer: c, output: o, box: b, to: p}
	for i, bound := range []containerlogger.Bound{o.Bounds.Stdout, o.Bounds.Stderr} {
		if f.files[i], err = openSink(o.Sandbox, []string{"stdout", "stderr"}[i], bound, c.log); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
		defer f.files[i].Close()
	}
	for err = f.live(ctx); errors.Is(err, errStalled); err = f.live(ctx) {
		// Following again would stall at the same place.
		if err := f.copyLog(ctx, client.ContainerLogsOptions{}); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	// The log also ends when the Engine stops; and one that is followed may end before its last entries.
	found, err := c.engine.ContainerInspect(ctx, name(b.id), client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if found.Container.State.Running {
		return io.ErrUnexpectedEOF
	}
	return f.copyLog(ctx, client.ContainerLogsOptions{})
}

// live copies what is written until the log ends. An Engine can fall silent when its log is rotated
// (seen with 20.10 on a busy machine), so it is asked now and then whether there is more.
func (f copying) live(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); f.watch(ctx, cancel) }()
	err := f.copyLog(ctx, client.ContainerLogsOptions{Follow: true})
	cause := context.Cause(ctx)
	cancel(nil)
	<-watched
	if errors.Is(cause, errStalled) {
		err = cause
		select {
		case <-f.box.over: // all of it can be read at once
			err = nil
		default:
		}
	}
	return err
}

// How long an Engine may be silent before it is asked whether there is more.
const (
	silentSoonest = time.Second
	silentLatest  = 30 * time.Second
)

// watch ends the reading of a log that has stalled, or goes on after the container's end.
func (f copying) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	over, pause, heard := f.box.over, silentSoonest, f.box.heard.Load()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			over, pause = nil, silentSoonest
			continue
		case <-time.After(pause):
		}
		pause = min(2*pause, silentLatest)
		if latest := f.box.heard.Load(); latest != heard {
			heard, pause = latest, silentSoonest
		} else if over == nil || f.behind(ctx) {
			cancel(errStalled)
			return
		}
	}
}

// behind says that the last entry of the log has not been copied. An Engine that gives no answer says nothing: it is asked again after
// the next pause.
func (f copying) behind(ctx context.Context) bool {
	behind := false
	_ = f.read(ctx, client.ContainerLogsOptions{Tail: "1"}, func(next entries) error {
		kind, entry, err := next()
		if err == nil {
			var stream int
			var at time.Time
			stream, at, _, err = parse(kind, entry)
			behind = err == nil && f.to.behind(stream, at)
		}
		return err
	})
	return behind
}

// copyLog copies what is new in the Engine's log.
func (f copying) copyLog(ctx context.Context, options client.ContainerLogsOptions) error {
	options.Since = f.to.since()
	return f.read(ctx, options, func(next entries) error {
		return copyEntries(f.files, next, f.to, func() { f.box.heard.Add(1) })
	})
}

// entries gives one entry after the other, and io.EOF.
type entries func() (stream stdcopy.StdType, entry []byte, err error)

func (f copying) read(ctx context.Context, options client.ContainerLogsOptions, with func(entries) error) error {
	options.ShowStdout, options.ShowStderr, options.Timestamps = true, true, true
	log, err := f.engine.ContainerLogs(ctx, name(f.box.id), options)
	if err != nil {
		return err
	}
	defer log.Close()
	in := bufio.NewReaderSize(log, 32<<10)
	if f.TTY {
		return with(lines(in))
	}
	return with(frames(in))
}
