package ratelimit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func parse(t *testing.T, text string) *Limits {
	t.Helper()
	l, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const document = `{"limits":[{"principal":"slow","qps":2,"capacity":3},{"principal":"free"}],
	"aggregate_default_qps":1,"aggregate_default_capacity":1}`

func TestEachPrincipalHasItsOwnRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := parse(t, document)
		start := time.Now()
		for range 5 {
			if err := l.Wait(t.Context(), "slow"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("five requests at 2/s took %v", took)
		}
		start = time.Now()
		for range 1000 {
			if err := l.Wait(t.Context(), "free"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("who has no qps waited %v", took)
		}
		for _, other := range []string{"a", "b", ""} {
			if err := l.Wait(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("three others at 1/s together took %v", took)
		}
		if c := l.Counters(); c["slow"] != (Counter{5, 5}) || c["a"].Processed != 1 || len(c) != 4 {
			t.Errorf("counters %v", c)
		}
	})
}

func TestBeyondCapacityNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := parse(t, document)
		results := make(chan error, 6)
		for range 6 {
			go func() { results <- l.Wait(context.Background(), "slow") }()
		}
		synctest.Wait()
		over := 0
		for range 3 { // one went at once, two are over: three wait
			err := <-results
			var full *OverCapacity
			if errors.As(err, &full) {
				over++
				if err.Error() != "Message dropped: capacity(3) exceeded" {
					t.Error(err)
				}
			}
		}
		if over != 2 {
			t.Errorf("%d refused, want 2", over)
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := parse(t, document)
		if err := l.Wait(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Wait(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		var none *Limits
		if err := none.Wait(ctx, "x"); err != nil || len(none.Counters()) != 0 {
			t.Errorf("no limits: %v", err)
		}
	})
}

func TestBadDocumentsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"limits":[{"principal":"a","qps":0}]}`, "limits[0]: qps 0"},
		{`{"limits":[{"principal":"a","qps":-1}]}`, "qps -1"},
		{`{"limits":[{"principal":"a","capacity":1}]}`, "capacity without qps"},
		{`{"limits":[{"qps":1}]}`, "principal \"\" is empty"},
		{`{"limits":[{"principal":"a"},{"principal":"a"}]}`, "limits[1]"},
		{`{"limit":[]}`, "unknown field"},
		{`{"aggregate_default_qps":1e999}`, "rate limits"},
		{`{} 1`, "text after"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}
