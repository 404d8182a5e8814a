package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// launches is how many launches are taken apart.
const launches = 300

// launchLog reads what the agent says of its launches when its log is detailed.
type launchLog struct{ launched chan launched }

// launched is one launch as the agent saw it.
type launched struct {
	ended time.Time // the update was on its way to the master
	took  time.Duration
	steps []slog.Attr
}

func newLaunchLog() *launchLog { return &launchLog{launched: make(chan launched, 1024)} }

// Enabled implements slog.Handler.
func (l *launchLog) Enabled(_ context.Context, level slog.Level) bool {
	return level == slog.LevelDebug
}

// Handle implements slog.Handler.
func (l *launchLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "container launched" {
		return nil
	}
	one := launched{ended: r.Time}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "took":
			one.took = a.Value.Duration()
		case "steps":
			one.steps = a.Value.Group()
		}
		return true
	})
	l.launched <- one
	return nil
}

// drain forgets the launches so far.
func (l *launchLog) drain() {
	for len(l.launched) > 0 {
		<-l.launched
	}
}

// WithAttrs implements slog.Handler.
func (l *launchLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *launchLog) WithGroup(string) slog.Handler { return l }

// profile is where the time of launches goes, in us by step.
type profile struct {
	order []string
	took  map[string][]float64
}

func (p *profile) add(step string, took time.Duration) {
	if p.took[step] == nil {
		p.order = append(p.order, step)
	}
	p.took[step] = append(p.took[step], float64(took.Nanoseconds())/1e3)
}

// launchSteps takes the launches of P7 apart: one container after the other.
func (s *suite) launchSteps() (err error) {
	log := newLaunchLog()
	c, err := startLoggedCluster(slog.New(log))
	if err != nil {
		return err
	}
	defer c.end(&err)
	if err := c.warm(); err != nil {
		return err
	}
	<-log.launched
	p := &profile{took: map[string][]float64{}}
	for range launches {
		if err := c.profile(p, log); err != nil {
			return err
		}
	}
	for _, step := range p.order {
		took := p.took[step]
		slices.Sort(took)
		s.report(figure{Name: "launch/" + step, Value: quantile(took, 0.5), Unit: "us",
			Note: fmt.Sprintf("p99 %.0f, max %.0f, of %d launches", quantile(took, 0.99), took[len(took)-1], len(took))})
	}
	return nil
}

// profile launches one container, takes its time apart, and kills it.
func (c *cluster) profile(p *profile, log *launchLog) error {
	tasks, start, err := c.launch(1)
	if err != nil {
		return err
	}
	running, err := c.reach(mesos.TaskState_TASK_RUNNING, 1)
	if err != nil {
		return err
	}
	one := <-log.launched
	p.add("accepted", one.ended.Add(-one.took).Sub(start))
	for _, step := range one.steps {
		p.add(step.Key, step.Value.Duration())
	}
	p.add("seen", running.Sub(one.ended))
	p.add("total", running.Sub(start))
	_, _, err = c.killAll(tasks)
	return err
}
