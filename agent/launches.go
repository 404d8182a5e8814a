package agent

import (
	"context"
	"log/slog"
	"maps"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launchtrace"
	"agora.dev/agora/internal/metrics"
)

// launches keeps how long the steps of launches take: as metrics and, for each launch, as a
// line of the log.
type launches struct {
	log   *slog.Logger
	total metrics.Timer
	steps map[launchtrace.Step]*metrics.Timer
}

func newLaunches(log *slog.Logger) *launches {
	l := &launches{log: log, steps: map[launchtrace.Step]*metrics.Timer{}}
	for _, step := range launchtrace.All() {
		l.steps[step] = &metrics.Timer{}
	}
	return l
}

// done takes the trace of a container that runs.
func (l *launches) done(id containerizer.ID, trace *launchtrace.Trace) {
	if l == nil || trace == nil {
		return
	}
	durations, total := trace.Durations(), trace.Total()
	l.total.Observe(total)
	for _, d := range durations {
		if timer := l.steps[d.Step]; timer != nil { // a newer launcher may have steps of its own
			timer.Observe(d.Took)
		}
	}
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	steps := make([]slog.Attr, len(durations))
	for i, d := range durations {
		steps[i] = slog.Duration(string(d.Step), d.Took)
	}
	l.log.Debug(textLaunched, "container", string(id), "took", total, slog.Attr{Key: "steps", Value: slog.GroupValue(steps...)})
}

const textLaunched = "container launched"

// timers are those of the containerizer, and ours.
func (a *Agent) timers() map[string]*metrics.Timer {
	out := map[string]*metrics.Timer{"containerizer/launch_ms": &a.launches.total}
	for step, timer := range a.launches.steps {
		out["containerizer/launch/"+string(step)+"_ms"] = timer
	}
	maps.Copy(out, a.deps.Timers)
	return out
}
