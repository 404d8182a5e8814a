package agent

import (
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
)

func TestPerfNeedsEventsAndTimeForThem(t *testing.T) {
	h := cgroups.Hierarchy{Mounts: map[string]string{"cpu": "/c", "perf_event": "/p"}}
	for _, c := range []struct {
		isolation, events  string
		interval, duration time.Duration
		works              bool
		problem            string
	}{
		{"cgroups/perf_event", "", 0, 0, false, "--isolation: cgroups/perf_event needs events to count"},
		{"cgroups/perf_event", " , ", 0, 0, false, "--isolation: cgroups/perf_event needs events to count"},
		{"cgroups/all", "", 0, 0, false, ""},
		{"", "cpu-clock", 0, 0, false, ""},
		{"cgroups/all", "wishes", 0, 0, false, `--perf_events: "wishes" is unknown`},
		{"cgroups/all", "cpu-clock", time.Second, 2 * time.Second, false, "--perf_duration: counting for 2s out of each 1s"},
		{"cgroups/all", "cpu-clock", time.Second, -1, false, "--perf_interval and --perf_duration must be above 0"},
	} {
		o := defaultIsolators()
		o.Isolation, o.PerfEvents = c.isolation, c.events
		if c.interval != 0 {
			o.PerfInterval, o.PerfDuration = c.interval, c.duration
		}
		on, err := o.Isolators(h)
		if err == nil {
			err = o.checkPerf(on)
		}
		switch {
		case c.problem == "" && (err != nil || on.Has(isolation.PerfEvent) != c.works):
			t.Errorf("%+v: %v, works %v", c, err, on.Has(isolation.PerfEvent))
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
