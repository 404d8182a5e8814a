// Package registry is what must outlive every master: which agents are admitted,
// unreachable or gone, which are deactivated or draining, and the settings of operators
// (quota, weights, maintenance).
//
// It owns the operations on that content and their form in the key-value store: a change
// touches only the keys of the things that changed. It promises that Load after any sequence
// of Ops gives what Contents.Apply gave in memory. It refuses I/O: a Store is the shell of
// somebody else.
package registry

import (
	"context"
	"fmt"
)

// Op is one change. The set is closed.
type Op interface {
	// Writes gives the keys to set or delete.
	Writes() ([]Write, error)
	// apply does the same in memory.
	apply(*Contents)
	fmt.Stringer
}

// Write sets a key, or deletes it when Value is nil.
type Write struct {
	Key   string
	Value []byte
}

// Store keeps the registry. Keys are relative to a prefix of its own choice.
type Store interface {
	// Load reads every key; the map is the caller's.
	Load(ctx context.Context) (map[string][]byte, error)
	// Apply makes the writes of all ops durable, in order, each whole or not at all, and only while this
	// master leads. After an error nobody knows which were written.
	Apply(ctx context.Context, ops []Op) error
}
