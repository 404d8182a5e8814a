package loop

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type recorder struct {
	events []int
	ticks  []time.Time
	wake   time.Duration
}

func (r *recorder) Step(now time.Time, batch []int) time.Time {
	r.events = append(r.events, batch...)
	if r.wake == 0 {
		return time.Time{}
	}
	return now.Add(r.wake)
}

func (r *recorder) Tick(now time.Time) time.Time {
	r.ticks = append(r.ticks, now)
	return time.Time{}
}

func TestRunKeepsOrderAndTicksWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, r := New[int](4, 2), &recorder{wake: 3 * time.Second}
		go l.Run(ctx, r)
		start := time.Now()
		for i := range 10 {
			if err := l.Post(ctx, i); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		time.Sleep(4 * time.Second)
		cancel()
		<-l.Done()
		if !slices.IsSorted(r.events) || len(r.events) != 10 {
			t.Errorf("events %v, want 0..9 in order", r.events)
		}
		if last := r.ticks[len(r.ticks)-1]; last.Sub(start) != 3*time.Second {
			t.Errorf("last tick after %v, want 3s", last.Sub(start))
		}
		if err := l.Post(context.Background(), 1); err != nil && err != ErrStopped {
			t.Errorf("post after stop: %v", err)
		}
	})
}
