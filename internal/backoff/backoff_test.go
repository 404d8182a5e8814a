package backoff

import (
	"testing"
	"time"
)

func TestCeilingDoublesUpToTheBoundAndResets(t *testing.T) {
	b := Backoff{First: 10 * time.Millisecond, Max: 50 * time.Millisecond}
	for i, ceiling := range []time.Duration{10, 20, 40, 50, 50} {
		ceiling *= time.Millisecond
		if wait := b.Next(); wait < ceiling/2 || wait > ceiling {
			t.Errorf("wait %d: %v, want %v to %v", i, wait, ceiling/2, ceiling)
		}
	}
	b.Reset()
	if wait := b.Next(); wait > 10*time.Millisecond {
		t.Errorf("after Reset: %v", wait)
	}
}
