package master

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/kv"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/registry"
)

// registryPrefix is where the registry's keys are in the store.
const registryPrefix = "/agora/registry/"

// kvRegistry keeps the registry in a kv store.
type kvRegistry struct{ store kv.Store }

// Load implements registry.Store.
func (k kvRegistry) Load(ctx context.Context) (map[string][]byte, error) {
	snapshot, err := k.store.Range(ctx, registryPrefix)
	if err != nil {
		return nil, fmt.Errorf("load registry: %w", err)
	}
	pairs := make(map[string][]byte, len(snapshot.Entries))
	for _, entry := range snapshot.Entries {
		pairs[strings.TrimPrefix(entry.Key, registryPrefix)] = entry.Value
	}
	return pairs, nil
}

// Apply implements registry.Store.
func (k kvRegistry) Apply(ctx context.Context, ops []registry.Op) error {
	var txn kv.Txn
	at := map[string]int{}
	for _, op := range ops {
		writes, err := op.Writes()
		if err != nil {
			return fmt.Errorf("registry %s: %w", op, err)
		}
		for _, write := range writes {
			change := kv.Put(registryPrefix+write.Key, write.Value)
			if write.Value == nil {
				change = kv.Delete(registryPrefix + write.Key)
			}
			// A transaction writes a key once: the last one counts.
			if i, twice := at[write.Key]; twice {
				txn.Then[i] = change
				continue
			}
			at[write.Key] = len(txn.Then)
			txn.Then = append(txn.Then, change)
		}
	}
	if len(txn.Then) == 0 {
		return nil
	}
	if _, err := k.store.Txn(ctx, txn); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	return nil
}

// groupOps is how many operations share a transaction; each writes a few small keys.
const groupOps = 200

// registrar carries out registry writes in order, many in one transaction. What waits is
// bounded by what the core has under way: it holds each agent's next step until its write is done.
type registrar struct {
	timeout time.Duration
	post    func(context.Context, core.Event) error
	wake    chan struct{}

	mu      sync.Mutex
	store   registry.Store
	waiting []core.Persist
}

func newRegistrar(timeout time.Duration, post func(context.Context, core.Event) error) *registrar {
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	return &registrar{timeout: timeout, post: post, wake: make(chan struct{}, 1)}
}

func (r *registrar) use(store registry.Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = store
}

func (r *registrar) put(writes []core.Persist) {
	r.mu.Lock()
	r.waiting = append(r.waiting, writes...)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *registrar) take() (registry.Store, []core.Persist) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(groupOps, len(r.waiting))
	group := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return r.store, group
}

func (r *registrar) run(ctx context.Context) {
	for {
		store, group := r.take()
		if len(group) == 0 {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		ops := make([]registry.Op, len(group))
		for i, write := range group {
			ops[i] = write.Op
		}
		limited, cancel := context.WithTimeout(ctx, r.timeout)
		err := store.Apply(limited, ops)
		cancel()
		for _, write := range group {
			if r.post(ctx, core.RegistryDone{ID: write.ID, Err: err}) != nil {
				return
			}
		}
	}
}

func (r *registrar) queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}
