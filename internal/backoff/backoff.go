// Package backoff spaces out retries: each wait is drawn at random below a ceiling that
// doubles up to a bound.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the state of one series of retries. The zero value waits up to 100 ms at
// first and 15 s at most.
type Backoff struct {
	// First is the ceiling of the first wait, Max that of all.
	First, Max time.Duration
	ceiling    time.Duration
}

// Next draws the next wait.
func (b *Backoff) Next() time.Duration {
	first, most := b.First, b.Max
	if first <= 0 {
		first = 100 * time.Millisecond
	}
	if most <= 0 {
		most = 15 * time.Second
	}
	b.ceiling = min(most, max(first, 2*b.ceiling))
	return b.ceiling/2 + time.Duration(rand.Int64N(int64(b.ceiling/2)+1))
}

// Reset begins again with First.
func (b *Backoff) Reset() { b.ceiling = 0 }

// Wait sleeps for Next, or until ctx ends.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
