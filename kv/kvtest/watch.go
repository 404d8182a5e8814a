package kvtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"agora.dev/agora/kv"
)

func testWatch(t *testing.T, s kv.Store) {
	first := put(t, s, kv.Put("w/a", []byte("1")))
	put(t, s, kv.Put("x", nil))
	second := put(t, s, kv.Delete("w/a"))
	w, err := s.Watch(t.Context(), "w/", first)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	third := put(t, s, kv.Put("w/b", []byte("3")))
	if got := next(t, w); got.Revision != first || got.Changes[0].Deleted || string(got.Changes[0].Value) != "1" {
		t.Fatalf("first: %+v", got)
	}
	if got := next(t, w); got.Revision != second || !got.Changes[0].Deleted || got.Changes[0].Key != "w/a" {
		t.Fatalf("second: %+v", got)
	}
	if got := next(t, w); got.Revision != third || string(got.Changes[0].Value) != "3" {
		t.Fatalf("third: %+v", got)
	}
}

func testWatchGroups(t *testing.T, s kv.Store) {
	snapshot, err := s.Range(t.Context(), "g/")
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Watch(t.Context(), "g/", snapshot.Revision+1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	put(t, s, kv.Put("g/1", nil), kv.Put("g/2", nil), kv.Put("other", nil))
	put(t, s, kv.Put("g/3", nil))
	if got := next(t, w); len(got.Changes) != 2 {
		t.Fatalf("got %+v, want two changes of one revision", got)
	}
	if got := next(t, w); len(got.Changes) != 1 || got.Changes[0].Key != "g/3" {
		t.Fatalf("got %+v, want g/3", got)
	}
}

func testWatchClose(t *testing.T, s kv.Store) {
	w, err := s.Watch(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := w.Next(context.Background())
		ended <- err
	}()
	w.Close()
	w.Close()
	if err := <-ended; !errors.Is(err, kv.ErrClosed) {
		t.Fatalf("next after close: %v, want closed", err)
	}
}

func testRevoke(t *testing.T, s kv.Store) {
	lease, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, kv.Op{Key: "l/1", Lease: lease}, kv.Op{Key: "l/2", Lease: lease}, kv.Put("l/3", nil))
	put(t, s, kv.Put("l/2", nil)) // no longer the lease's
	if err := s.KeepAlive(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if snapshot, err := s.Range(t.Context(), "l/"); err != nil || len(snapshot.Entries) != 2 {
		t.Fatalf("got %v %v, want l/2 and l/3", snapshot, err)
	}
	if err := s.KeepAlive(t.Context(), lease); !errors.Is(err, kv.ErrNoLease) {
		t.Fatalf("keep alive after revoke: %v", err)
	}
	if _, err := s.Txn(t.Context(), kv.Txn{Then: []kv.Op{{Key: "l/4", Lease: lease}}}); !errors.Is(err, kv.ErrNoLease) {
		t.Fatalf("put with a revoked lease: %v", err)
	}
}

func testExpiry(t *testing.T, s kv.Store) {
	lease, err := s.Grant(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	at := put(t, s, kv.Op{Key: "e", Lease: lease})
	w, err := s.Watch(t.Context(), "e", at+1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if got := next(t, w); !got.Changes[0].Deleted {
		t.Fatalf("got %+v, want the key deleted", got)
	}
}

func testFence(t *testing.T, s kv.Store) {
	lease, err := s.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	token := put(t, s, kv.Op{Key: "leader", Value: []byte("one"), Lease: lease})
	one := kv.Fenced(s, kv.Fence{Key: "leader", Revision: token})
	put(t, one, kv.Put("a", nil))
	put(t, s, kv.Op{Key: "leader", Value: []byte("one, renewed"), Lease: lease})
	put(t, one, kv.Put("a", nil)) // the key was changed, not created anew
	if _, err := one.Txn(t.Context(), kv.Txn{If: []kv.Condition{{Key: "a"}}}); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("a conflict of the leader: %v", err)
	}
	if err := s.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Txn(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("a", nil)}}); !errors.Is(err, kv.ErrFenced) {
		t.Fatalf("write without leadership: %v, want fenced", err)
	}
	next := put(t, s, kv.Put("leader", []byte("two")))
	two := kv.Fenced(s, kv.Fence{Key: "leader", Revision: next})
	put(t, two, kv.Put("a", nil))
	if _, err := one.Txn(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("a", nil)}}); !errors.Is(err, kv.ErrFenced) {
		t.Fatalf("write of the former leader: %v, want fenced", err)
	}
}
