package kvelect_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"agora.dev/agora/election"
	"agora.dev/agora/election/electiontest"
	"agora.dev/agora/election/kvelect"
	"agora.dev/agora/kv"
	"agora.dev/agora/kv/etcdkv"
	"agora.dev/agora/kv/memkv"
)

func TestOnMemkvKeepsTheContract(t *testing.T) {
	electiontest.Run(t, func(t *testing.T) electiontest.Election {
		return kvelect.New(kvelect.Config{Store: memkv.New(), Key: "leader"})
	})
}

func TestOnEtcdKeepsTheContract(t *testing.T) {
	electiontest.Run(t, func(t *testing.T) electiontest.Election {
		store, err := etcdkv.OpenEmbedded(t.Context(), etcdkv.EmbeddedConfig{Dir: t.TempDir(), NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return kvelect.New(kvelect.Config{Store: store, Key: "leader"})
	})
}

// cutOff is a store that stops renewing, as for a leader whose network is gone.
type cutOff struct{ kv.Store }

func (cutOff) KeepAlive(ctx context.Context, _ kv.LeaseID) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestALeaderThatIsCutOffKnowsBeforeTheNextIsElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		cut := kvelect.New(kvelect.Config{Store: cutOff{store}, Key: "leader"})
		first, err := cut.Campaign(t.Context(), election.Leader{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := kvelect.New(kvelect.Config{Store: store, Key: "leader"}).Campaign(t.Context(), election.Leader{ID: "b"})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Resign(t.Context())
		synctest.Wait()
		select {
		case <-first.Lost():
		default:
			t.Fatal("the next leads while the first believes to lead")
		}
		fence, _ := first.Fence()
		if _, err := kv.Fenced(store, fence).Txn(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("a", nil)}}); !errors.Is(err, kv.ErrFenced) {
			t.Fatalf("write of the former leader: %v", err)
		}
	})
}

func TestALeaderKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memkv.New()
		defer store.Close()
		l, err := kvelect.New(kvelect.Config{Store: store, Key: "leader"}).Campaign(t.Context(), election.Leader{ID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		select {
		case <-l.Lost():
			t.Fatal("lost while renewing")
		default:
		}
		l.Resign(t.Context())
	})
}
