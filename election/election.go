// Package election is the contract by which processes agree on one leader.
//
// It owns the words contender, detector, leadership and fencing token. It promises, of every
// implementation that passes electiontest: tokens grow from leader to leader, a leader learns
// that it may no longer lead before anybody else leads (by its own clock), and detectors see the
// newest leader in the end. It refuses to promise that two processes never both believe to
// lead: whoever writes must be fenced by the token.
package election

import (
	"context"
	"errors"

	"agora.dev/agora/kv"
)

// ErrLost: the leadership that was held is over.
var ErrLost = errors.New("leadership lost")

// Leader is what a leader says of itself.
type Leader struct {
	// ID is unique to one run of the process.
	ID string `json:"id"`
	// Address is where it serves, "host:port".
	Address string `json:"address"`
	// Info is for whoever knows what the candidate is, a master's MasterInfo in JSON for example.
	Info []byte `json:"info,omitempty"`
	// Token is the fencing token; set by the election.
	Token int64 `json:"-"`
}

// Leadership is held until Lost is closed or Resign is called.
type Leadership interface {
	// Token is the fencing token, higher than that of every leader before.
	Token() int64
	// Fence guards a kv store's writes; ok is false where the election is not on such a store.
	Fence() (fence kv.Fence, ok bool)
	// Lost is closed when the leadership may no longer be assumed.
	Lost() <-chan struct{}
	// Resign gives the leadership up at once.
	Resign(ctx context.Context) error
}

// Contender takes part.
type Contender interface {
	// Campaign waits until self leads.
	Campaign(ctx context.Context, self Leader) (Leadership, error)
}

// Detector observes.
type Detector interface {
	// Detect waits until the leader differs from previous (nil: none) and gives it, or nil when
	// there is none.
	Detect(ctx context.Context, previous *Leader) (*Leader, error)
}
