package images

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestImagesAreCollectedWhenTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		used, pruned := 0.5, 0
		var failure error
		c := Collector{Headroom: 0.1, Interval: time.Hour, Log: slog.New(slog.DiscardHandler),
			Used:  func() (float64, error) { return used, failure },
			Prune: func(context.Context) error { pruned++; return errors.New("busy") }}
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		for _, step := range []struct {
			used    float64
			failure error
			want    int
		}{{0.5, nil, 0}, {0.9, nil, 0}, {0.91, nil, 1}, {0.99, errors.New("no disk"), 1}, {1, nil, 2}} {
			used, failure = step.used, step.failure
			time.Sleep(time.Hour)
			synctest.Wait()
			if pruned != step.want {
				t.Errorf("disk %v: pruned %d times, want %d", step.used, pruned, step.want)
			}
		}
		cancel()
		<-done
	})
	if used, err := newStore(t, Config{}).Used(); err != nil || used <= 0 || used > 1 {
		t.Errorf("this disk: %v, %v", used, err)
	}
}
