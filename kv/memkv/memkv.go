// Package memkv is a kv.Store in memory, for tests and the simulation.
//
// It owns the entries, their history and the leases. It promises what kvtest asks of a
// store, durability across Close excepted, and that leases follow the clock of the process
// (the fake one inside a synctest bubble). It refuses to keep more than 10,000 revisions
// of history.
package memkv

import (
	"context"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/kv"
)

const keepRevisions = 10_000

// Store is the store. Use New.
type Store struct {
	mu        sync.Mutex
	revision  int64
	entries   map[string]kv.Entry
	history   []kv.Changes
	compacted int64 // the highest revision that history no longer has
	changed   chan struct{}
	closed    bool
	leases    map[kv.LeaseID]*lease
	nextLease kv.LeaseID
}

// New makes an empty store, at revision 1.
func New() *Store {
	return &Store{revision: 1, entries: map[string]kv.Entry{}, changed: make(chan struct{}),
		leases: map[kv.LeaseID]*lease{}}
}

// Get reads one key.
func (s *Store) Get(ctx context.Context, key string) (kv.Entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return kv.Entry{}, false, err
	}
	entry, found := s.entries[key]
	entry.Value = slices.Clone(entry.Value)
	return entry, found, nil
}

// Range reads all keys with the prefix.
func (s *Store) Range(ctx context.Context, prefix string) (kv.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return kv.Snapshot{}, err
	}
	snapshot := kv.Snapshot{Revision: s.revision}
	for key, entry := range s.entries {
		if strings.HasPrefix(key, prefix) {
			entry.Value = slices.Clone(entry.Value)
			snapshot.Entries = append(snapshot.Entries, entry)
		}
	}
	sort.Slice(snapshot.Entries, func(i, j int) bool { return snapshot.Entries[i].Key < snapshot.Entries[j].Key })
	return snapshot, nil
}

// Txn writes.
func (s *Store) Txn(ctx context.Context, txn kv.Txn) (int64, error) {
	if err := txn.Validate(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	for _, c := range txn.If {
		entry := s.entries[c.Key] // absent: all revisions zero
		have := entry.Revision
		if c.OfCreation {
			have = entry.Created
		}
		if have != c.Revision {
			return 0, kv.ErrConflict
		}
	}
	for _, op := range txn.Then {
		if op.Lease != 0 && s.leases[op.Lease] == nil {
			return 0, kv.ErrNoLease
		}
	}
	s.apply(txn.Then)
	return s.revision, nil
}

// apply makes one revision of the operations that change something.
func (s *Store) apply(ops []kv.Op) {
	next := s.revision + 1
	var changes []kv.Change
	for _, op := range ops {
		old, exists := s.entries[op.Key]
		if op.Delete && !exists {
			continue
		}
		if holder := s.leases[old.Lease]; holder != nil {
			delete(holder.keys, op.Key)
		}
		if op.Delete {
			delete(s.entries, op.Key)
			changes = append(changes, kv.Change{Entry: kv.Entry{Key: op.Key, Revision: next}, Deleted: true})
			continue
		}
		entry := kv.Entry{Key: op.Key, Value: slices.Clone(op.Value), Created: old.Created, Revision: next, Lease: op.Lease}
		if !exists {
			entry.Created = next
		}
		if holder := s.leases[op.Lease]; holder != nil {
			holder.keys[op.Key] = true
		}
		s.entries[op.Key] = entry
		changes = append(changes, kv.Change{Entry: entry})
	}
	if len(changes) == 0 {
		return
	}
	s.revision = next
	s.history = append(s.history, kv.Changes{Revision: next, Changes: changes})
	if len(s.history) > keepRevisions {
		s.compact(s.history[len(s.history)-keepRevisions/2].Revision)
	}
	s.wake()
}

// Compact forgets the changes before a revision, as a long-running store does by itself.
func (s *Store) Compact(before int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compact(before)
	s.wake()
}

func (s *Store) compact(before int64) {
	i := sort.Search(len(s.history), func(i int) bool { return s.history[i].Revision >= before })
	s.history = slices.Clone(s.history[i:])
	s.compacted = max(s.compacted, before-1)
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return kv.ErrClosed
	}
	return ctx.Err()
}

// Close ends all watches and leases' timers.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, l := range s.leases {
		l.timer.Stop()
	}
	s.wake()
	return nil
}

type lease struct {
	ttl   time.Duration
	keys  map[string]bool
	timer *time.Timer
}
