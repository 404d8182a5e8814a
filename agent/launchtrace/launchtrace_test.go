package launchtrace

import (
	"context"
	"slices"
	"testing"
	"time"
)

func TestStepsAreInOrderOfTimeAndMakeUpTheWhole(t *testing.T) {
	trace := New(100, Mark{Admit, 110})
	trace.Add(Mark{Exec, 170}, Mark{Clone, 140}) // what a shim measured comes late
	want := []Took{{Admit, 10}, {Clone, 30}, {Exec, 30}}
	if got := trace.Durations(); !slices.Equal(got, want) {
		t.Errorf("durations: %v, want %v", got, want)
	}
	if total := trace.Total(); total != 70*time.Nanosecond {
		t.Errorf("total: %v", total)
	}
}

func TestWithoutATraceNothingIsKept(t *testing.T) {
	trace := Of(context.Background())
	trace.Mark(Exec)
	trace.Add(Mark{Clone, 1})
	if trace != nil || trace.Marks() != nil {
		t.Errorf("a trace that nobody made: %v", trace)
	}
	if got := Of(With(context.Background(), nil)); got != nil {
		t.Errorf("no trace: %v", got)
	}
}

func TestContextCarriesATrace(t *testing.T) {
	trace := New(Now())
	Of(With(context.Background(), trace)).Mark(Exec)
	if len(trace.Marks()) != 1 || trace.Total() < 0 {
		t.Errorf("marks %v", trace.Marks())
	}
}

func TestEveryStepIsListedOnce(t *testing.T) {
	all := All()
	slices.Sort(all)
	if len(slices.Compact(all)) != len(All()) || len(All()) == 0 {
		t.Errorf("steps: %v", All())
	}
}
