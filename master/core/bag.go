package core

// bag is a set of pointers that keep their own place in it, so that removal is cheap and
// the order depends on nothing but the order of the changes.
type bag[T any] struct {
	items []*T
	at    func(*T) *int
}

func (b *bag[T]) add(item *T) {
	*b.at(item) = len(b.items)
	b.items = append(b.items, item)
}

func (b *bag[T]) remove(item *T) {
	i, last := *b.at(item), len(b.items)-1
	b.items[i] = b.items[last]
	*b.at(b.items[i]) = i
	b.items[last] = nil
	b.items = b.items[:last]
}

// idCache remembers the newest ids up to its bound.
type idCache struct {
	bound int
	known map[AgentID]bool
	order []AgentID
}

func (c *idCache) add(id AgentID) {
	if c.known[id] {
		return
	}
	if len(c.order) >= c.bound {
		delete(c.known, c.order[0])
		c.order = c.order[1:]
	}
	c.known[id] = true
	c.order = append(c.order, id)
}
