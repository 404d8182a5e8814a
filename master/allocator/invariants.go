package allocator

import "fmt"

// CheckInvariants says what is wrong in the books, or nil: free and held make up an
// agent's total, and every share is the sum of what is held.
func (a *Allocator) CheckInvariants() error {
	sums := map[*client][]int64{}
	for _, ag := range a.order {
		if ag == nil {
			continue
		}
		rest := ag.total
		for _, c := range a.holders(ag) {
			held := ag.heldBy(c)
			if !containsAll(rest, firm(unshared(held))) && ag.active {
				return fmt.Errorf("agent %s: %s holds what the agent does not have", ag.id, c.name)
			}
			rest = sub(rest, unshared(held))
			for _, p := range held {
				if p.kind.scalar >= 0 && !p.kind.shared {
					for len(sums[c]) <= p.kind.scalar {
						sums[c] = append(sums[c], 0)
					}
					sums[c][p.kind.scalar] += p.amount.scalar
				}
			}
		}
		if !containsAll(ag.free, rest) || !containsAll(rest, ag.free) {
			return fmt.Errorf("agent %s: free is not total less held", ag.id)
		}
	}
	for id, f := range a.frameworks {
		for _, c := range f.clients {
			for i, n := range c.held {
				var sum int64
				if i < len(sums[c]) {
					sum = sums[c][i]
				}
				if n != sum {
					return fmt.Errorf("framework %s in role %s: %s held %d, in the books %d", id, c.role.path, a.kinds.names[i], sum, n)
				}
			}
		}
	}
	return nil
}
