// Package etcdkv is the kv.Store on etcd: embedded in this process, or a cluster that the site
// already has.
//
// It owns the mapping of the contract to etcd's API and the embedded server's life. It promises
// that an embedded store listens nowhere, holds its directory alone, and says in one line why
// it cannot start. It refuses to share a directory with another process, and to be imported by
// anything but wiring: etcd's packages cost start-up time.
package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"agora.dev/agora/kv"
)

// Store is the store. Use OpenEmbedded or Dial.
type Store struct {
	client *clientv3.Client
	prefix string
	// stop ends the embedded server; nil for an external cluster.
	stop func() error
}

// Get reads one key.
func (s *Store) Get(ctx context.Context, key string) (kv.Entry, bool, error) {
	response, err := s.client.Get(ctx, s.prefix+key)
	if err != nil {
		return kv.Entry{}, false, s.explain("get "+key, err)
	}
	if len(response.Kvs) == 0 {
		return kv.Entry{}, false, nil
	}
	return s.entry(response.Kvs[0]), true, nil
}

// Pages of a range stay far below the limit of a gRPC message.
const pageEntries = 500

// Range reads all keys with the prefix at one revision, page by page.
func (s *Store) Range(ctx context.Context, prefix string) (kv.Snapshot, error) {
	var snapshot kv.Snapshot
	from, end := s.prefix+prefix, clientv3.GetPrefixRangeEnd(s.prefix+prefix)
	if from == "" {
		from, end = "\x00", "\x00" // everything
	}
	for {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageEntries),
			clientv3.WithRev(snapshot.Revision), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend)}
		response, err := s.client.Get(ctx, from, options...)
		if err != nil {
			return kv.Snapshot{}, s.explain("range "+prefix, err)
		}
		if snapshot.Revision == 0 {
			snapshot.Revision = response.Header.Revision
		}
		for _, pair := range response.Kvs {
			snapshot.Entries = append(snapshot.Entries, s.entry(pair))
		}
		if !response.More || len(response.Kvs) == 0 {
			return snapshot, nil
		}
		from = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
	}
}

// Txn writes.
func (s *Store) Txn(ctx context.Context, txn kv.Txn) (int64, error) {
	if err := txn.Validate(); err != nil {
		return 0, err
	}
	var conditions []clientv3.Cmp
	for _, c := range txn.If {
		compare := clientv3.ModRevision(s.prefix + c.Key)
		if c.OfCreation {
			compare = clientv3.CreateRevision(s.prefix + c.Key)
		}
		conditions = append(conditions, clientv3.Compare(compare, "=", c.Revision))
	}
	var ops []clientv3.Op
	for _, op := range txn.Then {
		if op.Delete {
			ops = append(ops, clientv3.OpDelete(s.prefix+op.Key))
			continue
		}
		ops = append(ops, clientv3.OpPut(s.prefix+op.Key, string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease))))
	}
	response, err := s.client.Txn(ctx).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return 0, s.explain("transaction", err)
	}
	if !response.Succeeded {
		return 0, kv.ErrConflict
	}
	return response.Header.Revision, nil
}

// Grant makes a lease; etcd counts in whole seconds.
func (s *Store) Grant(ctx context.Context, ttl time.Duration) (kv.LeaseID, error) {
	response, err := s.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		return 0, s.explain("grant lease", err)
	}
	return kv.LeaseID(response.ID), nil
}

// KeepAlive renews a lease.
func (s *Store) KeepAlive(ctx context.Context, lease kv.LeaseID) error {
	_, err := s.client.KeepAliveOnce(ctx, clientv3.LeaseID(lease))
	return s.explain("keep lease", err)
}

// Revoke ends a lease.
func (s *Store) Revoke(ctx context.Context, lease kv.LeaseID) error {
	_, err := s.client.Revoke(ctx, clientv3.LeaseID(lease))
	return s.explain("revoke lease", err)
}

// Close ends the client and, if it is ours, the server.
func (s *Store) Close() error {
	err := s.client.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if s.stop != nil {
		err = errors.Join(err, s.stop())
	}
	return err
}

// explain gives etcd's errors the classes of the contract.
func (s *Store) explain(what string, err error) error {
	class := err
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		class = kv.ErrNoLease
	case errors.Is(err, rpctypes.ErrCompacted):
		class = kv.ErrCompacted
	case errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%s: the external etcd needs --max-txn-ops=%d: %w", what, 2*kv.MaxOps, kv.ErrInvalid)
	case s.client.Ctx().Err() != nil:
		class = kv.ErrClosed
	}
	return fmt.Errorf("%s: %w", what, class)
}
