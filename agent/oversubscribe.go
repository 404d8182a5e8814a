package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/procfs"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/oversubscription"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/loop"
)

// minCorrection bounds how often the machine is looked at.
const minCorrection = time.Second

// overseer measures for the estimator and the controller, and tells the core what they say. Either
// may be nil.
type overseer struct {
	estimator   oversubscription.Estimator
	controller  oversubscription.Controller
	estimates   time.Duration
	corrections time.Duration
	procfs      string
	allocations func(ctx context.Context) ([]core.Allocation, error)
	usage       func(ctx context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error)
	// waits may be nil: nobody knows.
	waits func(id containerizer.ID) float64
	post  func(core.Event)
	log   *slog.Logger
}

// newOverseer makes the overseer of an agent.
func (a *Agent) newOverseer(post func(core.Event)) (*overseer, error) {
	estimator, controller, procfs, err := a.config.overseers(a.total)
	if err != nil {
		return nil, err
	}
	return &overseer{
		estimator: estimator, controller: controller, procfs: procfs,
		estimates: a.config.OversubscribedResourcesInterval, corrections: max(a.config.QoSCorrectionIntervalMin, minCorrection),
		allocations: a.allocations, usage: a.deps.Containerizer.Usage, waits: a.deps.Waits, post: post, log: a.deps.Log,
	}, nil
}

// run estimates and corrects until ctx ends. Without an estimator and a controller it has nothing to do.
func (o *overseer) run(ctx context.Context) {
	var estimate, correct <-chan time.Time
	if o.estimator != nil {
		tick := time.NewTicker(o.estimates)
		defer tick.Stop()
		estimate = tick.C
		o.estimate(ctx, time.Now()) // Mesos's agent does not wait for the first interval either
	}
	if o.controller != nil {
		tick := time.NewTicker(o.corrections)
		defer tick.Stop()
		correct = tick.C
	}
	if estimate == nil && correct == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-estimate:
			o.estimate(ctx, now)
		case now := <-correct:
			o.correct(ctx, now)
		}
	}
}

func (o *overseer) estimate(ctx context.Context, now time.Time) {
	live, err := o.allocations(ctx)
	if err != nil {
		return
	}
	executors := o.measure(ctx, live, o.estimator.Measures())
	o.post(core.Oversubscribable{Resources: o.estimator.Estimate(now, executors).Proto()})
}

// correct asks the controller only while something is lent: nobody else is to be stopped.
func (o *overseer) correct(ctx context.Context, now time.Time) {
	live, err := o.allocations(ctx)
	if err != nil || !slices.ContainsFunc(live, func(a core.Allocation) bool { return oversubscription.Revocable(a.Resources) }) {
		return
	}
	host, err := readHost(o.procfs)
	if err != nil {
		o.log.Warn("state of the machine unknown: nothing is corrected", "error", err)
		return
	}
	for _, p := range o.controller.Correct(now, host, o.measure(ctx, live, o.controller.Measures())) {
		o.post(p)
	}
}

// measure adds their figures to executors.
func (o *overseer) measure(ctx context.Context, live []core.Allocation, figures bool) []oversubscription.Executor {
	out := make([]oversubscription.Executor, 0, len(live))
	for _, a := range live {
		e := oversubscription.Executor{Allocation: a, Waits: -1}
		if !figures {
			out = append(out, e)
			continue
		}
		if usage, err := o.usage(ctx, a.Container); err == nil && usage.CpusUserTimeSecs != nil {
			e.Measured = true
			e.CPUSeconds = usage.GetCpusUserTimeSecs() + usage.GetCpusSystemTimeSecs()
			e.MemMiB = float64(usage.GetMemRssBytes()) / (1 << 20)
		}
		if o.waits != nil {
			e.Waits = o.waits(a.Container)
		}
		out = append(out, e)
	}
	return out
}

// allocations asks the core what its executors hold.
func (a *Agent) allocations(ctx context.Context) ([]core.Allocation, error) {
	out := make(chan []core.Allocation, 1)
	if err := a.loop.Post(ctx, posted{inspect: func(c *core.Core) { out <- c.Allocations() }}); err != nil {
		return nil, err
	}
	select {
	case list := <-out:
		return list, nil
	case <-a.loop.Done():
		return nil, loop.ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readHost reads the state of the machine from where its proc is mounted.
func readHost(proc string) (h oversubscription.Host, err error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return h, err
	}
	load, err := fs.LoadAvg()
	if err != nil {
		return h, err
	}
	mem, err := fs.Meminfo()
	if err != nil {
		return h, err
	}
	h = oversubscription.Host{Load5: load.Load5, Load15: load.Load15, CPUWaits: -1, MemoryStalls: -1}
	if mem.MemTotal != nil && mem.MemAvailable != nil {
		h.MemTotalMiB, h.MemAvailableMiB = float64(*mem.MemTotal)/1024, float64(*mem.MemAvailable)/1024
	}
	// A kernel without pressure stall information has no such files.
	if p, err := cgroups.ReadPressure(filepath.Join(proc, "pressure", "cpu")); err == nil {
		h.CPUWaits = p.Some
	}
	if p, err := cgroups.ReadPressure(filepath.Join(proc, "pressure", "memory")); err == nil {
		h.MemoryStalls = p.Full
	}
	return h, nil
}
