package images

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"
)

// Collector removes unused images when the disk fills up.
type Collector struct {
	// Headroom is the part of the disk that is to be free, 0 to 1.
	Headroom float64
	// Interval is the time between two looks.
	Interval time.Duration
	// Used gives the part of the disk that is in use.
	Used func() (float64, error)
	// Prune removes what nothing uses.
	Prune func(ctx context.Context) error
	Log   *slog.Logger
}

// Run looks until the context ends.
func (c Collector) Run(ctx context.Context) {
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look(ctx)
		}
	}
}

func (c Collector) look(ctx context.Context) {
	used, err := c.Used()
	if err == nil && used <= 1-c.Headroom {
		return
	}
	if err == nil {
		err = c.Prune(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.Log.Error("images were not collected", "err", err)
		return
	}
	c.Log.Info("unused images removed", "disk", used, "headroom", c.Headroom)
}

// Used is the part of the store's disk that is in use, 0 to 1.
func (s *Store) Used() (float64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &stat); err != nil {
		return 0, fmt.Errorf("size of the disk of %s: %w", s.dir, err)
	}
	if stat.Blocks == 0 {
		return 0, nil
	}
	return float64(stat.Blocks-stat.Bfree) / float64(stat.Blocks), nil
}
