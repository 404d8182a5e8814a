package allocator

import (
	"time"

	"agora.dev/agora/master/core"
)

// CarryOut is a step up to its offers, and Finish the rest of it.
func (a *Allocator) CarryOut(now time.Time, commands []core.AllocatorEvent) {
	a.carryOut(now, commands)
}

// Finish makes the offers of a step.
func (a *Allocator) Finish() Ready {
	return Ready{Offers: a.allocate(), Wake: a.wake()}
}
