// Package single is the election of a process that has no rivals, within that process.
//
// It owns who of the contenders in the process leads. It promises the contract with tokens
// that last as long as the process. It refuses to keep other processes out.
package single

import (
	"context"
	"sync"

	"agora.dev/agora/election"
	"agora.dev/agora/kv"
)

// Election is contender and detector. Use New.
type Election struct {
	mu      sync.Mutex
	leader  *election.Leader
	token   int64
	changed chan struct{}
}

// New makes an election without leader.
func New() *Election { return &Election{changed: make(chan struct{})} }

// Campaign waits until nobody leads, then leads.
func (e *Election) Campaign(ctx context.Context, self election.Leader) (election.Leadership, error) {
	for {
		e.mu.Lock()
		if e.leader == nil {
			e.token++
			self.Token = e.token
			e.set(&self)
			e.mu.Unlock()
			return &leadership{election: e, token: self.Token, lost: make(chan struct{})}, nil
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Detect waits for a leader other than previous.
func (e *Election) Detect(ctx context.Context, previous *election.Leader) (*election.Leader, error) {
	for {
		e.mu.Lock()
		leader, changed := e.leader, e.changed
		e.mu.Unlock()
		if !same(leader, previous) {
			return leader, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func same(a, b *election.Leader) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Token == b.Token
}

func (e *Election) set(leader *election.Leader) {
	e.leader = leader
	close(e.changed)
	e.changed = make(chan struct{})
}

type leadership struct {
	election *Election
	token    int64
	once     sync.Once
	lost     chan struct{}
}

func (l *leadership) Token() int64            { return l.token }
func (l *leadership) Fence() (kv.Fence, bool) { return kv.Fence{}, false }
func (l *leadership) Lost() <-chan struct{}   { return l.lost }

func (l *leadership) Resign(context.Context) error {
	l.once.Do(func() {
		close(l.lost)
		l.election.mu.Lock()
		defer l.election.mu.Unlock()
		l.election.set(nil)
	})
	return nil
}
