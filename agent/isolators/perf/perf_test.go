package perf

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

func TestEveryFieldOfTheStatisticsHasItsEvent(t *testing.T) {
	all := (&mesos.PerfStatistics{}).ProtoReflect()
	fields := all.Descriptor().Fields()
	if got, want := len(events), fields.Len()-2; got != want { // but for timestamp and duration
		t.Errorf("%d events, %d fields", got, want)
	}
	for _, e := range events {
		s := &mesos.PerfStatistics{}
		e.set(s, 3e6)
		name := strings.ReplaceAll(strings.ToLower(e.Name), "-", "_")
		field := fields.ByTextName(name)
		want := "3000000"
		if strings.HasSuffix(name, "_clock") {
			want = "3"
		}
		if !s.ProtoReflect().Has(field) || s.ProtoReflect().Get(field).String() != want {
			t.Errorf("%s: got %v", e.Name, s)
		}
	}
}

func TestEventsAreNamedAsByPerf(t *testing.T) {
	got, err := Parse(" cpu-clock,LLC-load-misses, page_faults,,cpu-clock,l1-dcache-prefetch-misses")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got {
		names = append(names, e.Name)
	}
	if want := []string{"cpu-clock", "LLC-load-misses", "page-faults", "L1-dcache-prefetch-misses"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if _, err := Parse("cycles,wishes"); err == nil || !strings.HasPrefix(err.Error(), `--perf_events: "wishes" is unknown; known are cycles, `) {
		t.Errorf("got %v", err)
	}
}

func TestCountsAreScaledToTheWholeTime(t *testing.T) {
	for _, c := range []struct{ value, enabled, running, want uint64 }{
		{0, 0, 0, 0}, {7, 100, 0, 0}, {7, 100, 100, 7}, {7, 100, 50, 14}, {1 << 62, 1 << 40, 1 << 39, 1 << 63}, {1 << 63, 1 << 40, 1, 1 << 63},
	} {
		if got := scale(c.value, c.enabled, c.running); got != c.want {
			t.Errorf("%d in %d of %d: got %d, want %d", c.value, c.running, c.enabled, got, c.want)
		}
	}
}

func TestListsOfProcessors(t *testing.T) {
	if got, err := processors("0-2,5,7-8"); err != nil || !slices.Equal(got, []int{0, 1, 2, 5, 7, 8}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "3-1", "1-"} {
		if got, err := processors(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestUncountedGroupHasTheRequiredFields(t *testing.T) {
	if got := Empty(time.Unix(5, 0)); got.GetTimestamp() != 5 || got.Duration == nil || got.GetDuration() != 0 {
		t.Errorf("got %v", got)
	}
}

// The events of the kernel work on every machine; those of a processor do, or are refused
// with the reason.
func TestMachineCountsOrSaysWhyNot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	own, err := Parse("cpu-clock,task-clock,page-faults,minor-faults,major-faults,context-switches,cpu-migrations")
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(own); err != nil {
		t.Errorf("events of the kernel: %v", err)
	}
	for _, e := range events {
		err := Check([]Event{e})
		if err != nil && (!strings.HasPrefix(err.Error(), "--perf_events: "+e.Name+": ") || !strings.Contains(err.Error(), "does not count it")) {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
}
