package memkv

import (
	"context"
	"sort"
	"strings"
	"sync"

	"agora.dev/agora/kv"
)

// Watch gives the changes of keys with the prefix from a revision on.
func (s *Store) Watch(ctx context.Context, prefix string, from int64) (kv.Watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return &watcher{store: s, prefix: prefix, next: from, done: make(chan struct{})}, nil
}

type watcher struct {
	store  *Store
	prefix string
	next   int64 // used by Next alone
	once   sync.Once
	done   chan struct{}
}

func (w *watcher) Next(ctx context.Context) (kv.Changes, error) {
	for {
		select {
		case <-w.done:
			return kv.Changes{}, kv.ErrClosed
		default:
		}
		changes, changed, err := w.look()
		if err != nil || len(changes.Changes) > 0 {
			return changes, err
		}
		select {
		case <-changed:
		case <-w.done:
			return kv.Changes{}, kv.ErrClosed
		case <-ctx.Done():
			return kv.Changes{}, ctx.Err()
		}
	}
}

// look gives the next revision with changes, or the channel that is closed when there may
// be one.
func (w *watcher) look() (kv.Changes, <-chan struct{}, error) {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kv.Changes{}, nil, kv.ErrClosed
	}
	if w.next <= s.compacted {
		return kv.Changes{}, nil, kv.ErrCompacted
	}
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].Revision >= w.next })
	for ; i < len(s.history); i++ {
		w.next = s.history[i].Revision + 1
		found := kv.Changes{Revision: s.history[i].Revision}
		for _, change := range s.history[i].Changes {
			if strings.HasPrefix(change.Key, w.prefix) {
				found.Changes = append(found.Changes, change)
			}
		}
		if len(found.Changes) > 0 {
			return found, nil, nil
		}
	}
	return kv.Changes{}, s.changed, nil
}

func (w *watcher) Close() { w.once.Do(func() { close(w.done) }) }
