package master

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/kv"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/registry"
)

// registryPrefix is where the registry's keys are in the store.
const registryPrefix = "/agora/registry/"

// leaderKey holds the MasterInfo of the master that led last.
const leaderKey = "/agora/leader"

// kvRegistry keeps the registry in a kv store.
type kvRegistry struct {
	store kv.Store
	size  *registrySize
}

// registrySize is how much the registry holds, in bytes of keys and values.
type registrySize struct {
	mu    sync.Mutex
	of    map[string]int
	total int
}

func (s *registrySize) set(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= s.of[key]
	delete(s.of, key)
	if value != nil {
		s.of[key] = len(key) + len(value)
		s.total += s.of[key]
	}
}

func (s *registrySize) value() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Load implements registry.Store.
func (k kvRegistry) Load(ctx context.Context) (map[string][]byte, error) {
	snapshot, err := k.store.Range(ctx, registryPrefix)
	if err != nil {
		return nil, fmt.Errorf("load registry: %w", err)
	}
	pairs := make(map[string][]byte, len(snapshot.Entries))
	for _, entry := range snapshot.Entries {
		pairs[strings.TrimPrefix(entry.Key, registryPrefix)] = entry.Value
		k.size.set(entry.Key, entry.Value)
	}
	return pairs, nil
}

// Apply implements registry.Store. What a transaction cannot hold follows in another one.
func (k kvRegistry) Apply(ctx context.Context, ops []registry.Op) error {
	var txn kv.Txn
	at, size := map[string]int{}, 0
	for _, op := range ops {
		writes, err := op.Writes()
		if err != nil {
			return fmt.Errorf("registry %s: %w", op, err)
		}
		more := 0
		for _, write := range writes {
			more += len(registryPrefix) + len(write.Key) + len(write.Value)
		}
		if size+more > kv.MaxTxnBytes || len(txn.Then)+len(writes) > kv.MaxOps {
			if err := k.commit(ctx, txn); err != nil {
				return err
			}
			txn, size = kv.Txn{}, 0
			clear(at)
		}
		size += more
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
	return k.commit(ctx, txn)
}

func (k kvRegistry) commit(ctx context.Context, txn kv.Txn) error {
	if len(txn.Then) == 0 {
		return nil
	}
	if _, err := k.store.Txn(ctx, txn); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	for _, change := range txn.Then {
		k.size.set(change.Key, change.Value)
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
	size    registrySize
	fetched *metrics.Timer
	stored  *metrics.Timer

	mu      sync.Mutex
	store   registry.Store
	waiting []core.Persist
}

func newRegistrar(timeout time.Duration, post func(context.Context, core.Event) error, r *metrics.Registry) *registrar {
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	return &registrar{timeout: timeout, post: post, wake: make(chan struct{}, 1), size: registrySize{of: map[string]int{}},
		fetched: r.Timer("registrar/state_fetch_ms"), stored: r.Timer("registrar/state_store_ms")}
}

// use reads the registry of a store, writes there who leads, and writes to it from now on.
func (r *registrar) use(ctx context.Context, store kv.Store, leader []byte) (map[string][]byte, error) {
	keeper := kvRegistry{store, &r.size}
	r.mu.Lock()
	r.store = keeper
	r.mu.Unlock()
	began := time.Now()
	pairs, err := keeper.Load(ctx)
	r.fetched.Observe(time.Since(began))
	if err != nil {
		return nil, err
	}
	// A master that cannot write must not lead: it would only find out at the first agent.
	began = time.Now()
	if _, err := store.Txn(ctx, kv.Txn{Then: []kv.Op{kv.Put(leaderKey, leader)}}); err != nil {
		return nil, fmt.Errorf("write registry: %w", err)
	}
	r.stored.Observe(time.Since(began))
	return pairs, nil
}

// emit gives Mesos's keys of the registrar. The store that is built in has one member.
func (r *registrar) emit(emit func(string, float64)) {
	recovered := 0.0
	if r.reading() {
		recovered = 1
	}
	emit("registrar/log/recovered", recovered)
	emit("registrar/log/ensemble_size", 1)
	emit("registrar/registry_size_bytes", float64(r.size.value()))
	emit("registrar/queued_operations", float64(r.queued()))
}

func (r *registrar) reading() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store != nil
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
		began := time.Now()
		err := store.Apply(limited, ops)
		r.stored.Observe(time.Since(began))
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
