package agent

import (
	"context"
	"log/slog"
	"time"

	"agora.dev/agora/agent/blackbox"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/httpapi"
	"agora.dev/agora/api/agora/postmortem"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
)

// recorder puts what is known of ended containers into the black box.
type recorder struct {
	box *blackbox.Box
	// inspect runs on the core's loop, in order with what is posted.
	inspect func(func(*core.Core))
	usage   func(ctx context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error)
	// peak may be nil: nobody knows.
	peak func(id containerizer.ID) uint64
	log  *slog.Logger
}

// ending is what has to be looked up before the core hears of an end, and lets its traces be removed.
type ending struct {
	record  postmortem.Record
	asked   bool              // it was told to end
	subject chan core.Subject // closed without a value when nobody knows the container
}

// begin looks at a container that has ended; asked says that it was told to.
func (r *recorder) begin(ctx context.Context, id containerizer.ID, asked bool) *ending {
	if r == nil {
		return nil
	}
	e := &ending{record: postmortem.Record{Container: string(id), Ended: time.Now().UTC()}, asked: asked,
		subject: make(chan core.Subject, 1)}
	if usage, err := r.usage(ctx, id); err == nil {
		e.record.CPUSeconds = usage.GetCpusUserTimeSecs() + usage.GetCpusSystemTimeSecs()
	}
	if r.peak != nil {
		e.record.PeakMemoryBytes = r.peak(id)
	}
	r.inspect(func(c *core.Core) {
		if s, ok := c.Subject(id); ok {
			e.subject <- s
		}
		close(e.subject)
	})
	return e
}

// end keeps the record.
func (r *recorder) end(ctx context.Context, e *ending, how containerizer.Termination) {
	if e == nil {
		return
	}
	var s core.Subject
	var ok bool
	select {
	case s, ok = <-e.subject:
	case <-ctx.Done():
	}
	if !ok || !s.Command {
		return
	}
	e.record.Framework, e.record.Executor, e.record.Task = string(s.Executor.Framework), string(s.Executor.Executor), string(s.Task)
	e.record.User, e.record.Started, e.record.Status = s.User, s.Started, how.Status
	e.record.Cause = describeEnd(how)
	if how.Reason != 0 {
		e.record.Reason = how.Reason.String()
	}
	well := how.Status != nil && *how.Status == 0
	e.record.Failed = how.Limitation() || !well && !s.Asked && !e.asked
	if err := r.box.Add(e.record, s.Sandbox); err != nil {
		r.log.Warn("black box", "error", err)
	}
}

// describeEnd is one line about an end.
func describeEnd(how containerizer.Termination) string {
	switch {
	case how.Limitation() && how.Message != "":
		return how.Message
	case how.Status != nil:
		return "Command " + executor.DescribeStatus(*how.Status)
	case how.Message != "":
		return how.Message
	}
	return "The exit status of the command is lost"
}

// postmortems lists the black box for the API.
func (a *Agent) postmortems() (out []httpapi.Postmortem) {
	for _, e := range a.box.Entries() {
		out = append(out, httpapi.Postmortem{Framework: e.Framework, Executor: e.Executor, Task: e.Task, Container: e.Container,
			User: e.User, Dir: e.Dir})
	}
	return out
}
