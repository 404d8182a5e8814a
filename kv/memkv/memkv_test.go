package memkv_test

import (
	"errors"
	"testing"

	"agora.dev/agora/kv"
	"agora.dev/agora/kv/kvtest"
	"agora.dev/agora/kv/memkv"
)

func TestMemkvKeepsTheContract(t *testing.T) {
	kvtest.Run(t, func(*testing.T) kv.Store { return memkv.New() })
}

func TestAWatchBehindTheCompactionSaysSo(t *testing.T) {
	s := memkv.New()
	for range 10 {
		if _, err := s.Txn(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("a", nil)}}); err != nil {
			t.Fatal(err)
		}
	}
	s.Compact(5)
	w, err := s.Watch(t.Context(), "", 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, kv.ErrCompacted) {
		t.Fatalf("got %v, want compacted", err)
	}
}
