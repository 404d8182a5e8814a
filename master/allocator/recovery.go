package allocator

import (
	"math"
	"time"

	"agora.dev/agora/master/core"
)

// expect begins the pause after an election: where there is quota, offers that are made before most agents are
// back could go to roles that have had their share.
func (a *Allocator) expect(agents int) {
	if agents == 0 || len(a.limited) == 0 {
		return
	}
	a.expected = int(math.Ceil(float64(agents) * a.config.RecoveryFactor))
	a.holdUntil = a.now.Add(a.config.RecoveryTimeout)
}

// recovering says whether the pause lasts.
func (a *Allocator) recovering() bool {
	if a.holdUntil.IsZero() {
		return false
	}
	if len(a.agents) < a.expected && a.now.Before(a.holdUntil) {
		return true
	}
	a.holdUntil = time.Time{}
	a.lookAtAll()
	return false
}

// setWhitelist replaces the hosts whose agents may be offered.
func (a *Allocator) setWhitelist(c core.AllocatorSetWhitelist) {
	a.whitelist = nil
	if !c.Any {
		a.whitelist = make(map[string]bool, len(c.Hostnames))
		for _, name := range c.Hostnames {
			a.whitelist[name] = true
		}
	}
	a.lookAtAll()
}

// inUse says whether an agent's resources may be offered.
func (a *Allocator) inUse(ag *agent) bool {
	return ag.active && (a.whitelist == nil || a.whitelist[ag.info.GetHostname()])
}
