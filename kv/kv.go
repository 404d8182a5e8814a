// Package kv is the contract of the durable store: what must outlive processes is kept in it
// as small values under keys.
//
// It owns the types of that contract and the fence that keeps a former leader from writing.
// It promises, of every store that passes kvtest: linearizable reads and writes, transactions
// that happen whole or not at all, a write acknowledged is a write kept, and a watch without
// gap or repetition. It refuses large things: a value above MaxValue, a transaction above
// MaxOps or MaxTxnBytes.
package kv

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of every store. They stay below those of etcd (1.5 MiB a request).
const (
	MaxValue    = 1 << 20
	MaxTxnBytes = 1 << 20
	MaxOps      = 1024
	MaxKey      = 1024
)

// Classes of errors; test with errors.Is.
var (
	// ErrConflict: a condition of a transaction did not hold; nothing was written.
	ErrConflict = errors.New("conflict")
	// ErrFenced: the writer no longer leads; nothing was written.
	ErrFenced = errors.New("fenced: another leader has taken over")
	// ErrCompacted: the changes from that revision on are no longer kept; read again.
	ErrCompacted = errors.New("revision compacted")
	// ErrNoLease: the lease has expired or was revoked.
	ErrNoLease = errors.New("lease expired")
	// ErrInvalid: a key, value or transaction outside the bounds.
	ErrInvalid = errors.New("invalid")
	// ErrClosed: the store or watcher was closed.
	ErrClosed = errors.New("closed")
)

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value []byte
	// Created is the revision at which the key came to be, Revision that of its last change.
	Created, Revision int64
	Lease             LeaseID
}

// LeaseID names a lease; zero is none.
type LeaseID int64

// Snapshot is what a range held at one revision, in the order of keys.
type Snapshot struct {
	Revision int64
	Entries  []Entry
}

// Condition holds when the key was last changed at Revision; zero: when it is absent.
// With OfCreation, when it came to be at Revision, whatever has changed since.
type Condition struct {
	Key        string
	Revision   int64
	OfCreation bool
}

// Op sets a key, or deletes it.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	Lease  LeaseID
}

// Put sets a key.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// Delete removes a key; it is no error if there is none.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Txn does Then, all or none, if all of If hold. A key may be written once.
type Txn struct {
	If   []Condition
	Then []Op
}

// Validate checks the bounds.
func (t Txn) Validate() error {
	if len(t.Then) > MaxOps || len(t.If) > MaxOps {
		return fmt.Errorf("transaction of %d operations, above %d: %w", max(len(t.Then), len(t.If)), MaxOps, ErrInvalid)
	}
	seen := make(map[string]bool, len(t.Then))
	size := 0
	for _, op := range t.Then {
		switch {
		case op.Key == "" || len(op.Key) > MaxKey:
			return fmt.Errorf("key of %d bytes, outside 1..%d: %w", len(op.Key), MaxKey, ErrInvalid)
		case len(op.Value) > MaxValue:
			return fmt.Errorf("value of %s: %d bytes, above %d: %w", op.Key, len(op.Value), MaxValue, ErrInvalid)
		case seen[op.Key]:
			return fmt.Errorf("key %s written twice in a transaction: %w", op.Key, ErrInvalid)
		}
		seen[op.Key] = true
		size += len(op.Key) + len(op.Value)
	}
	if size > MaxTxnBytes+MaxKey {
		return fmt.Errorf("transaction of %d bytes, above %d: %w", size, MaxTxnBytes, ErrInvalid)
	}
	return nil
}

// Change is one key set or deleted; of a deleted one Key and Revision are set.
type Change struct {
	Entry
	Deleted bool
}

// Changes are all changes of one revision that a watcher asked for.
type Changes struct {
	Revision int64
	Changes  []Change
}

// Watcher gives changes in the order of revisions.
type Watcher interface {
	// Next waits for the next revision with changes.
	Next(ctx context.Context) (Changes, error)
	// Close ends the watch; a waiting Next returns ErrClosed.
	Close()
}

// Store is the durable store.
type Store interface {
	// Get reads one key; found is false when it is absent.
	Get(ctx context.Context, key string) (entry Entry, found bool, err error)
	// Range reads all keys with the prefix, at one revision.
	Range(ctx context.Context, prefix string) (Snapshot, error)
	// Txn writes, and gives the revision of the write.
	Txn(ctx context.Context, txn Txn) (revision int64, err error)
	// Watch gives every change of keys with the prefix from that revision on, it included.
	Watch(ctx context.Context, prefix string, from int64) (Watcher, error)

	// Grant makes a lease: keys put with it vanish when nobody has kept it alive for ttl.
	Grant(ctx context.Context, ttl time.Duration) (LeaseID, error)
	// KeepAlive renews a lease once.
	KeepAlive(ctx context.Context, lease LeaseID) error
	// Revoke ends a lease and deletes its keys at once.
	Revoke(ctx context.Context, lease LeaseID) error

	// Close gives back what the store holds.
	Close() error
}
