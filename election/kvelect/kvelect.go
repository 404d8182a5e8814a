// Package kvelect is the election on a kv.Store's leases: etcd in production, memkv in tests.
//
// It owns the leader's key and the lease under it. It promises the contract of election; the
// fencing token is the revision at which the leader created the key, and kv.Fenced with
// Leadership.Fence refuses every write of a former leader. It refuses to extend a leadership
// that it could not renew within the lease's time.
package kvelect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"agora.dev/agora/election"
	"agora.dev/agora/kv"
)

// Config says where the election is held.
type Config struct {
	Store kv.Store
	// Key is the leader's key, for example "leader/master".
	Key string
	// TTL is how long a leader that went silent is waited for; default 10 s.
	TTL time.Duration
}

// Election is contender and detector. Use New.
type Election struct{ cfg Config }

// New makes an election.
func New(cfg Config) *Election {
	if cfg.TTL == 0 {
		cfg.TTL = 10 * time.Second
	}
	return &Election{cfg: cfg}
}

// Campaign waits until the key is free and takes it.
func (e *Election) Campaign(ctx context.Context, self election.Leader) (election.Leadership, error) {
	value, err := json.Marshal(self)
	if err != nil {
		return nil, fmt.Errorf("campaign for %s: %w", e.cfg.Key, err)
	}
	for {
		held, err := e.try(ctx, value)
		if err == nil {
			return held, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return nil, fmt.Errorf("campaign for %s: %w", e.cfg.Key, err)
		}
		if err := e.awaitFree(ctx); err != nil {
			return nil, fmt.Errorf("campaign for %s: %w", e.cfg.Key, err)
		}
	}
}

// try takes the key once.
func (e *Election) try(ctx context.Context, value []byte) (election.Leadership, error) {
	// Counted from before the grant: ours ends no later than the store's.
	granted := time.Now()
	lease, err := e.cfg.Store.Grant(ctx, e.cfg.TTL)
	if err != nil {
		return nil, err
	}
	token, err := e.cfg.Store.Txn(ctx, kv.Txn{If: []kv.Condition{{Key: e.cfg.Key}},
		Then: []kv.Op{{Key: e.cfg.Key, Value: value, Lease: lease}}})
	if err != nil {
		// Also when the outcome is unknown: a key that was written goes with the lease.
		e.revoke(lease)
		return nil, err
	}
	keeping, cancel := context.WithCancel(context.Background())
	l := &leadership{election: e, lease: lease, token: token, lost: make(chan struct{}), cancel: cancel}
	l.keeper.Go(func() { l.keep(keeping, granted) })
	return l, nil
}

func (e *Election) revoke(lease kv.LeaseID) error {
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.TTL)
	defer cancel()
	return e.cfg.Store.Revoke(ctx, lease)
}

// awaitFree returns when nobody leads; at once if that is so already.
func (e *Election) awaitFree(ctx context.Context) error {
	leader, _, err := e.read(ctx)
	for err == nil && leader != nil {
		leader, err = e.Detect(ctx, leader)
	}
	return err
}

// Detect reads the leader and, while it is previous, waits for a change.
func (e *Election) Detect(ctx context.Context, previous *election.Leader) (*election.Leader, error) {
	for {
		leader, revision, err := e.read(ctx)
		if err != nil {
			return nil, err
		}
		if (leader == nil) != (previous == nil) || leader != nil && leader.Token != previous.Token {
			return leader, nil
		}
		err = e.awaitChange(ctx, revision+1)
		if err != nil && !errors.Is(err, kv.ErrCompacted) {
			return nil, fmt.Errorf("detect %s: %w", e.cfg.Key, err)
		}
	}
}

func (e *Election) read(ctx context.Context) (*election.Leader, int64, error) {
	snapshot, err := e.cfg.Store.Range(ctx, e.cfg.Key)
	if err != nil {
		return nil, 0, fmt.Errorf("detect %s: %w", e.cfg.Key, err)
	}
	for _, entry := range snapshot.Entries {
		if entry.Key != e.cfg.Key {
			continue
		}
		leader := &election.Leader{}
		if err := json.Unmarshal(entry.Value, leader); err != nil {
			return nil, 0, fmt.Errorf("detect %s: %w", e.cfg.Key, err)
		}
		leader.Token = entry.Created
		return leader, snapshot.Revision, nil
	}
	return nil, snapshot.Revision, nil
}

func (e *Election) awaitChange(ctx context.Context, from int64) error {
	watcher, err := e.cfg.Store.Watch(ctx, e.cfg.Key, from)
	if err != nil {
		return err
	}
	defer watcher.Close()
	_, err = watcher.Next(ctx)
	return err
}

type leadership struct {
	election *Election
	lease    kv.LeaseID
	token    int64
	cancel   context.CancelFunc
	keeper   sync.WaitGroup
	once     sync.Once
	lost     chan struct{}
}

func (l *leadership) Token() int64 { return l.token }

func (l *leadership) Fence() (kv.Fence, bool) {
	return kv.Fence{Key: l.election.cfg.Key, Revision: l.token}, true
}

func (l *leadership) Lost() <-chan struct{} { return l.lost }

// keep renews the lease every third of its time, until a renewal is refused or none has
// succeeded for the whole of it.
func (l *leadership) keep(ctx context.Context, renewed time.Time) {
	defer close(l.lost)
	ttl := l.election.cfg.TTL
	ticker := time.NewTicker(ttl / 3)
	defer ticker.Stop()
	for {
		deadline := renewed.Add(ttl)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(deadline)):
			return
		case <-ticker.C:
		}
		asked := time.Now()
		call, cancel := context.WithDeadline(ctx, deadline)
		err := l.election.cfg.Store.KeepAlive(call, l.lease)
		cancel()
		switch {
		case err == nil:
			renewed = asked
		case errors.Is(err, kv.ErrNoLease), errors.Is(err, kv.ErrClosed):
			return
		}
	}
}

// Resign ends the lease; the next contender need not wait for it.
func (l *leadership) Resign(ctx context.Context) error {
	l.cancel()
	l.keeper.Wait()
	var err error
	l.once.Do(func() { err = l.election.cfg.Store.Revoke(ctx, l.lease) })
	if errors.Is(err, kv.ErrNoLease) {
		return nil
	}
	return err
}
