package cni

import (
	"sync/atomic"

	"agora.dev/agora/internal/metrics"
)

// Prefix of the figures. Mesos has none of attachments; the names are of its manner.
const figures = "containerizer/mesos/network/cni/"

// counts are what Figures and Timers tell.
type counts struct {
	attachErrors, detachErrors, unavailable atomic.Int64
	used                                    atomic.Bool // some container asked for a network
	attach, detach                          metrics.Timer
}

// Figures gives the metrics of attachments, where there are networks or were.
func (i *Isolator) Figures(emit func(name string, value float64)) {
	i.mu.Lock()
	found := len(i.attached)
	i.mu.Unlock()
	if i.config.ConfigDir == "" && found == 0 && !i.counts.used.Load() {
		return
	}
	emit(figures+"attach_errors", float64(i.counts.attachErrors.Load()))
	emit(figures+"detach_errors", float64(i.counts.detachErrors.Load()))
	emit(figures+"networks_unavailable", float64(i.counts.unavailable.Load()))
	i.mu.Lock()
	defer i.mu.Unlock()
	broken := 0
	for _, a := range i.attached {
		if len(a.Broken) > 0 {
			broken++
		}
	}
	emit(figures+"containers_attached", float64(len(i.attached)))
	emit(figures+"containers_broken", float64(broken))
}

// Timers are how long it took to attach and to detach a container.
func (i *Isolator) Timers() map[string]*metrics.Timer {
	return map[string]*metrics.Timer{figures + "attach_ms": &i.counts.attach, figures + "detach_ms": &i.counts.detach}
}
