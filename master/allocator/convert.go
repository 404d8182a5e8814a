package allocator

import (
	"slices"

	"agora.dev/agora/master/core"
)

// convert changes what resources are that a framework holds, not how many.
func (a *Allocator) convert(c core.AllocatorConvert) {
	ag := a.agents[c.Agent]
	if ag == nil {
		return
	}
	from, to := a.kinds.portions(c.From), a.kinds.portions(c.To)
	if f := a.frameworks[c.Framework]; f != nil && len(c.From) > 0 {
		cl := f.client(c.From[0].GetAllocationInfo().GetRole())
		if held := ag.heldBy(cl); cl != nil && containsAll(held, from) {
			ag.setHeld(cl, add(sub(held, from), to))
			a.exchange(cl, from, to)
			a.turn(ag, from, to)
			a.setFree(ag, add(sub(ag.free, shared(from)), shared(to)))
			return
		}
	}
	a.turnFree(ag, from, to)
}

// turnFree changes what is free on an agent, if it is there.
func (a *Allocator) turnFree(ag *agent, from, to []portion) (done bool) {
	if !containsAll(ag.free, from) {
		return false
	}
	a.turn(ag, from, to)
	a.setFree(ag, add(sub(ag.free, from), to))
	a.touch(ag)
	return true
}

// turn changes what an agent's total is made of.
func (a *Allocator) turn(ag *agent, from, to []portion) {
	a.count(ag.total, -1)
	ag.total = add(sub(ag.total, from), to)
	a.count(ag.total, 1)
	ag.describe(ag.info)
}

// change does the same with what is free, after what is given back to make it so.
func (a *Allocator) change(c core.AllocatorChange) {
	answer := core.AllocatorAnswer{Asked: c.Asked}
	for _, back := range c.Recover {
		a.recover(back)
	}
	if ag := a.agents[c.Agent]; ag != nil {
		if answer.Done = a.turnFree(ag, a.kinds.portions(c.From), a.kinds.portions(c.To)); !answer.Done {
			answer.Free = protos(ag.free, nil)
		}
	}
	a.answers = append(a.answers, answer)
}

// holdAgain lets a framework hold shared volumes once more; they are free for others all the same.
func (a *Allocator) holdAgain(c core.AllocatorShare) {
	ag, f := a.agents[c.Agent], a.frameworks[c.Framework]
	if ag == nil || f == nil {
		return
	}
	for i, r := range c.Resources {
		if cl := f.client(r.GetAllocationInfo().GetRole()); cl != nil {
			more := a.kinds.portions(c.Resources[i : i+1])
			ag.hold(cl, more)
			a.account(cl, more, 1)
		}
	}
}

// shared is what is free for others although somebody holds it.
func shared(portions []portion) []portion {
	return slices.DeleteFunc(slices.Clone(portions), func(p portion) bool { return !p.kind.shared })
}
