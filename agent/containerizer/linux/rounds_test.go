package linux

import (
	"testing"
	"time"
)

// A container is looked at after its pause, and at no other tick.
func TestOutputIsLookedAtAfterItsPause(t *testing.T) {
	for start := range 20 {
		var r rounds
		for range start {
			r.next()
		}
		due := map[*box]int{}
		for pause := outputSoonest; pause <= outputLatest; pause += outputSoonest {
			b := &box{}
			due[b] = int(pause / outputSoonest)
			r.add(b, pause)
		}
		for tick := 1; tick <= len(r.slots); tick++ {
			for _, b := range r.next() {
				if due[b] != tick {
					t.Errorf("from tick %d: looked at after %d ticks, want %d", start, tick, due[b])
				}
				delete(due, b)
			}
		}
		if len(due) > 0 {
			t.Errorf("from tick %d: %d never looked at", start, len(due))
		}
	}
	b, quiet := &box{}, (&Containerizer{})
	var pauses []time.Duration
	for range 6 {
		quiet.look(b, &b.seen)
		pauses = append(pauses, b.seen.pause)
	}
	if pauses[0] != outputSoonest || pauses[5] != outputLatest {
		t.Errorf("pauses of a quiet one: %v", pauses)
	}
}
