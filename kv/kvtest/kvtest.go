// Package kvtest is the suite that every kv.Store must pass.
//
// It owns the tests, one for each sentence of the contract. It promises to need nothing of
// a store but its interface. It refuses to test how a store keeps its data.
package kvtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/kv"
)

// Run runs the suite; open gives an empty store, closed by the suite.
func Run(t *testing.T, open func(t *testing.T) kv.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s kv.Store)
	}{
		{"AnAbsentKeyIsNotFound", testAbsent},
		{"APutIsReadBackWithItsRevisions", testPut},
		{"ARangeHoldsExactlyThePrefixInOrder", testRange},
		{"ATransactionIsAllOrNothing", testAtomic},
		{"AConditionOfAbsenceHoldsOnce", testCreateOnce},
		{"ConcurrentCompareAndSwapLosesNoUpdate", testCompareAndSwap},
		{"OutOfBoundsIsRefused", testBounds},
		{"AWatchFromARevisionMissesNothing", testWatch},
		{"AWatchSeesOneTransactionAsOneRevision", testWatchGroups},
		{"AWatchEndsWhenClosed", testWatchClose},
		{"AnEndedLeaseTakesItsKeys", testRevoke},
		{"ALeaseExpiresUnlessKeptAlive", testExpiry},
		{"AFencedWriterIsRefusedAfterTheNextLeader", testFence},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			test.run(t, s)
		})
	}
}

func put(t *testing.T, s kv.Store, ops ...kv.Op) int64 {
	t.Helper()
	revision, err := s.Txn(t.Context(), kv.Txn{Then: ops})
	if err != nil {
		t.Fatalf("txn %v: %v", ops, err)
	}
	return revision
}

func testAbsent(t *testing.T, s kv.Store) {
	if entry, found, err := s.Get(t.Context(), "a"); found || err != nil {
		t.Fatalf("get: %v %v %v", entry, found, err)
	}
	put(t, s, kv.Delete("a"))
	snapshot, err := s.Range(t.Context(), "")
	if err != nil || len(snapshot.Entries) != 0 || snapshot.Revision < 1 {
		t.Fatalf("range: %v %v", snapshot, err)
	}
}

func testPut(t *testing.T, s kv.Store) {
	first := put(t, s, kv.Put("a", []byte("1")))
	second := put(t, s, kv.Put("a", []byte{0, 255}))
	if second <= first {
		t.Fatalf("revisions %d then %d", first, second)
	}
	want := kv.Entry{Key: "a", Value: []byte{0, 255}, Created: first, Revision: second}
	if got, found, err := s.Get(t.Context(), "a"); err != nil || !found || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v %v %v, want %v", got, found, err, want)
	}
	put(t, s, kv.Delete("a"))
	third := put(t, s, kv.Put("a", nil))
	got, found, err := s.Get(t.Context(), "a")
	if err != nil || !found || got.Created != third || len(got.Value) != 0 {
		t.Fatalf("after delete and put: %v %v %v, want created %d", got, found, err, third)
	}
}

func testRange(t *testing.T, s kv.Store) {
	last := put(t, s, kv.Put("b/2", nil), kv.Put("b/1", nil), kv.Put("b", nil), kv.Put("c", nil), kv.Put("b/\xff", nil), kv.Put("b0", nil))
	for prefix, want := range map[string][]string{
		"b/":     {"b/1", "b/2", "b/\xff"},
		"":       {"b", "b/1", "b/2", "b/\xff", "b0", "c"},
		"d":      nil,
		"b/\xff": {"b/\xff"},
	} {
		snapshot, err := s.Range(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range snapshot.Entries {
			got = append(got, entry.Key)
		}
		if !reflect.DeepEqual(got, want) || snapshot.Revision != last {
			t.Errorf("range %q: got %q at %d, want %q at %d", prefix, got, snapshot.Revision, want, last)
		}
	}
}

func testAtomic(t *testing.T, s kv.Store) {
	at := put(t, s, kv.Put("a", []byte("1")))
	_, err := s.Txn(t.Context(), kv.Txn{
		If:   []kv.Condition{{Key: "a", Revision: at}, {Key: "b", Revision: at}},
		Then: []kv.Op{kv.Put("c", nil), kv.Delete("a")},
	})
	if !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	if _, found, _ := s.Get(t.Context(), "c"); found {
		t.Fatal("a failed transaction wrote")
	}
	if _, err = s.Txn(t.Context(), kv.Txn{If: []kv.Condition{{Key: "a", Revision: at}},
		Then: []kv.Op{kv.Put("c", nil), kv.Delete("a")}}); err != nil {
		t.Fatal(err)
	}
	if snapshot, _ := s.Range(t.Context(), ""); len(snapshot.Entries) != 1 || snapshot.Entries[0].Key != "c" {
		t.Fatalf("got %v, want c alone", snapshot)
	}
}

func testCreateOnce(t *testing.T, s kv.Store) {
	txn := kv.Txn{If: []kv.Condition{{Key: "leader"}}, Then: []kv.Op{kv.Put("leader", []byte("me"))}}
	if _, err := s.Txn(t.Context(), txn); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Txn(t.Context(), txn); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("second creation: %v, want a conflict", err)
	}
}

func testCompareAndSwap(t *testing.T, s kv.Store) {
	put(t, s, kv.Put("n", []byte{0}))
	const writers, each = 4, 20
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < each; {
				entry, _, err := s.Get(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = s.Txn(t.Context(), kv.Txn{If: []kv.Condition{{Key: "n", Revision: entry.Revision}},
					Then: []kv.Op{kv.Put("n", []byte{entry.Value[0] + 1})}})
				switch {
				case err == nil:
					done++
				case !errors.Is(err, kv.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if entry, _, _ := s.Get(t.Context(), "n"); entry.Value[0] != writers*each {
		t.Fatalf("counted %d, want %d", entry.Value[0], writers*each)
	}
}

func testBounds(t *testing.T, s kv.Store) {
	many := make([]kv.Op, kv.MaxOps+1)
	for i := range many {
		many[i] = kv.Put(fmt.Sprint(i), nil)
	}
	for name, ops := range map[string][]kv.Op{
		"empty key":     {kv.Put("", nil)},
		"large value":   {kv.Put("a", make([]byte, kv.MaxValue+1))},
		"many":          many,
		"written twice": {kv.Put("a", nil), kv.Delete("a")},
	} {
		if _, err := s.Txn(t.Context(), kv.Txn{Then: ops}); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
	put(t, s, many[:kv.MaxOps]...)
	put(t, s, kv.Put("a", make([]byte, kv.MaxValue)))
}

func next(t *testing.T, w kv.Watcher) kv.Changes {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	changes, err := w.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	return changes
}
