package etcdkv

import (
	"context"
	"strings"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"agora.dev/agora/kv"
)

func (s *Store) entry(pair *mvccpb.KeyValue) kv.Entry {
	return kv.Entry{Key: strings.TrimPrefix(string(pair.Key), s.prefix), Value: pair.Value,
		Created: pair.CreateRevision, Revision: pair.ModRevision, Lease: kv.LeaseID(pair.Lease)}
}

// Watch gives the changes of keys with the prefix from a revision on.
func (s *Store) Watch(ctx context.Context, prefix string, from int64) (kv.Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, end := s.prefix+prefix, clientv3.GetPrefixRangeEnd(s.prefix+prefix)
	if key == "" {
		key, end = "\x00", "\x00"
	}
	// The watch outlives the call that made it; Close ends it.
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	w := &watcher{store: s, cancel: cancel, done: watching.Done(),
		channel: s.client.Watch(watching, key, clientv3.WithRange(end), clientv3.WithRev(from))}
	return w, nil
}

type watcher struct {
	store   *Store
	channel clientv3.WatchChan
	cancel  context.CancelFunc
	done    <-chan struct{}
	mu      sync.Mutex
	ready   []kv.Changes
}

func (w *watcher) Next(ctx context.Context) (kv.Changes, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.ready) == 0 {
		select {
		case <-ctx.Done():
			return kv.Changes{}, ctx.Err()
		case <-w.done:
			return kv.Changes{}, kv.ErrClosed
		case response, open := <-w.channel:
			if !open {
				return kv.Changes{}, kv.ErrClosed
			}
			if err := response.Err(); err != nil {
				return kv.Changes{}, w.store.explain("watch", err)
			}
			w.take(response.Events)
		}
	}
	changes := w.ready[0]
	w.ready = w.ready[1:]
	return changes, nil
}

// take groups events by revision. etcd never splits a revision between responses unless
// fragments are asked for, which we do not.
func (w *watcher) take(events []*clientv3.Event) {
	for _, event := range events {
		change := kv.Change{Entry: w.store.entry(event.Kv), Deleted: event.Type == clientv3.EventTypeDelete}
		if n := len(w.ready); n > 0 && w.ready[n-1].Revision == change.Revision {
			w.ready[n-1].Changes = append(w.ready[n-1].Changes, change)
			continue
		}
		w.ready = append(w.ready, kv.Changes{Revision: change.Revision, Changes: []kv.Change{change}})
	}
}

func (w *watcher) Close() { w.cancel() }
