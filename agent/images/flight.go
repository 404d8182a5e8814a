package images

import (
	"context"
	"sync"
)

// flights merges concurrent calls for the same key into one. The work has its own
// context, which ends when the last of those who wait for it has gone.
type flights[T any] struct {
	mu   sync.Mutex
	live map[string]*flight[T]
}

type flight[T any] struct {
	waiters int
	cancel  context.CancelFunc
	done    chan struct{}
	value   T
	err     error
}

// do returns the result of work, started by this or by an earlier caller. A caller that
// is the last to leave waits until the cancelled work has cleaned up.
func (f *flights[T]) do(ctx context.Context, key string, work func(context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	if f.live == nil {
		f.live = map[string]*flight[T]{}
	}
	current, joined := f.live[key]
	if !joined {
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		current = &flight[T]{cancel: cancel, done: make(chan struct{})}
		f.live[key] = current
		go f.run(inner, key, current, work)
	}
	current.waiters++
	f.mu.Unlock()

	select {
	case <-current.done:
		return current.value, current.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	current.waiters--
	last := current.waiters == 0
	if last && f.live[key] == current {
		delete(f.live, key)
	}
	f.mu.Unlock()
	if last {
		current.cancel()
		<-current.done
	}
	var none T
	return none, context.Cause(ctx)
}

func (f *flights[T]) run(ctx context.Context, key string, current *flight[T], work func(context.Context) (T, error)) {
	defer current.cancel()
	current.value, current.err = work(ctx)
	f.mu.Lock()
	if f.live[key] == current {
		delete(f.live, key)
	}
	f.mu.Unlock()
	close(current.done)
}
