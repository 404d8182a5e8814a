// Package electiontest is the suite that every election must pass.
//
// It owns the tests of the contract. It promises to need only contenders and detectors of one
// election. It refuses to test how long a silent leader is waited for.
package electiontest

import (
	"context"
	"errors"
	"testing"
	"time"

	"agora.dev/agora/election"
)

// Election is both sides.
type Election interface {
	election.Contender
	election.Detector
}

// Run runs the suite; open gives an election without leader.
func Run(t *testing.T, open func(t *testing.T) Election) {
	t.Run("TheFirstContenderLeadsAndIsDetected", func(t *testing.T) { testFirst(t, open(t)) })
	t.Run("OneLeadsAndTheNextFollowsWithAHigherToken", func(t *testing.T) { testSuccession(t, open(t)) })
	t.Run("ADetectorSeesTheEndOfALeader", func(t *testing.T) { testDetectorSeesEnd(t, open(t)) })
	t.Run("ACampaignEndsWithItsContext", func(t *testing.T) { testCampaignCancelled(t, open(t)) })
	t.Run("ManyContendersLeadOneAtATime", func(t *testing.T) { testMany(t, open(t)) })
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func campaign(t *testing.T, e Election, id string) election.Leadership {
	t.Helper()
	l, err := e.Campaign(within(t), election.Leader{ID: id, Address: id + ":5050"})
	if err != nil {
		t.Fatalf("campaign of %s: %v", id, err)
	}
	return l
}

func resign(t *testing.T, l election.Leadership) {
	t.Helper()
	if err := l.Resign(within(t)); err != nil {
		t.Fatalf("resign: %v", err)
	}
	select {
	case <-l.Lost():
	default:
		t.Fatal("lost is open after resigning")
	}
}

func testFirst(t *testing.T, e Election) {
	l := campaign(t, e, "a")
	defer resign(t, l)
	got, err := e.Detect(within(t), nil)
	if err != nil || got == nil || got.ID != "a" || got.Address != "a:5050" || got.Token != l.Token() {
		t.Fatalf("detected %+v %v, want a with token %d", got, err, l.Token())
	}
	select {
	case <-l.Lost():
		t.Fatal("lost without reason")
	default:
	}
}

func testSuccession(t *testing.T, e Election) {
	first := campaign(t, e, "a")
	elected := make(chan election.Leadership)
	go func() {
		l, _ := e.Campaign(within(t), election.Leader{ID: "b"})
		elected <- l
	}()
	select {
	case <-elected:
		t.Fatal("two leaders")
	case <-time.After(50 * time.Millisecond):
	}
	resign(t, first)
	second := <-elected
	if second == nil || second.Token() <= first.Token() {
		t.Fatalf("second %v after token %d", second, first.Token())
	}
	resign(t, second)
}

func testDetectorSeesEnd(t *testing.T, e Election) {
	l := campaign(t, e, "a")
	leader, err := e.Detect(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan *election.Leader)
	go func() {
		next, _ := e.Detect(within(t), leader)
		seen <- next
	}()
	resign(t, l)
	if next := <-seen; next != nil {
		t.Fatalf("detected %+v, want none", next)
	}
	again := campaign(t, e, "a")
	defer resign(t, again)
	next, err := e.Detect(within(t), leader)
	if err != nil || next == nil || next.Token != again.Token() {
		t.Fatalf("detected %+v %v, want token %d: the same process again is another leader", next, err, again.Token())
	}
}

func testCampaignCancelled(t *testing.T, e Election) {
	defer resign(t, campaign(t, e, "a"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Campaign(ctx, election.Leader{ID: "b"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func testMany(t *testing.T, e Election) {
	const contenders = 5
	tokens := make(chan int64, contenders)
	leading := make(chan struct{}, 1)
	for range contenders {
		go func() {
			l, err := e.Campaign(within(t), election.Leader{ID: "x"})
			if err != nil {
				tokens <- -1
				return
			}
			select {
			case leading <- struct{}{}:
				<-leading
				tokens <- l.Token()
			default:
				tokens <- -2
			}
			l.Resign(context.Background())
		}()
	}
	last := int64(0)
	for range contenders {
		token := <-tokens
		if token <= last {
			t.Fatalf("token %d after %d (-1: campaign failed, -2: two led at once)", token, last)
		}
		last = token
	}
}
