package kv

import (
	"context"
	"errors"
	"fmt"
)

// Fence is the proof of leadership: the key that the leader created and the revision at
// which it did so. The revision is the fencing token: each leader's is higher than those of
// all before it.
type Fence struct {
	Key      string
	Revision int64
}

// Fenced gives a store on which every write also requires the fence to hold, and fails with
// ErrFenced when it does not. Reads and leases are not fenced.
func Fenced(store Store, fence Fence) Store {
	return &fenced{Store: store, fence: fence}
}

type fenced struct {
	Store
	fence Fence
}

func (f *fenced) Txn(ctx context.Context, txn Txn) (int64, error) {
	guarded := Txn{Then: txn.Then}
	guarded.If = append(append(guarded.If, txn.If...),
		Condition{Key: f.fence.Key, Revision: f.fence.Revision, OfCreation: true})
	revision, err := f.Store.Txn(ctx, guarded)
	if !errors.Is(err, ErrConflict) {
		return revision, err
	}
	entry, found, getErr := f.Store.Get(ctx, f.fence.Key)
	switch {
	case getErr != nil:
		return 0, getErr
	case !found || entry.Created != f.fence.Revision:
		return 0, fmt.Errorf("write with token %d: %w", f.fence.Revision, ErrFenced)
	}
	return 0, err
}

// Close leaves the underlying store open: it belongs to whoever opened it.
func (f *fenced) Close() error { return nil }
