package memkv

import (
	"context"
	"slices"
	"time"

	"agora.dev/agora/kv"
)

// Grant makes a lease.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.nextLease++
	id := s.nextLease
	s.leases[id] = &lease{ttl: ttl, keys: map[string]bool{}, timer: time.AfterFunc(ttl, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			s.end(id)
		}
	})}
	return id, nil
}

// KeepAlive renews a lease.
func (s *Store) KeepAlive(ctx context.Context, id kv.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	l := s.leases[id]
	// A timer that has fired waits for the lock that we hold: the lease is over.
	if l == nil || !l.timer.Stop() {
		return kv.ErrNoLease
	}
	l.timer.Reset(l.ttl)
	return nil
}

// Revoke ends a lease.
func (s *Store) Revoke(ctx context.Context, id kv.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if s.leases[id] == nil {
		return kv.ErrNoLease
	}
	s.end(id)
	return nil
}

func (s *Store) end(id kv.LeaseID) {
	l := s.leases[id]
	if l == nil {
		return
	}
	l.timer.Stop()
	var ops []kv.Op
	for key := range l.keys {
		ops = append(ops, kv.Delete(key))
	}
	slices.SortFunc(ops, func(a, b kv.Op) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	s.apply(ops)
	delete(s.leases, id)
}
