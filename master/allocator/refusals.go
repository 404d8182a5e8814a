package allocator

// refusals are the filters on one agent by client: a table with open addressing, because one look at it for
// each agent and client is most of what a cycle costs, and a map needs several memory accesses for it.
type refusals struct {
	slots []slot // a power of two, at most three quarters of them full
	count int
}

// slot is empty while first is nil.
type slot struct {
	client uint32
	first  *filter
}

// home is the place where the search for a client begins; the numbers of clients are dense, and are spread.
func (t *refusals) home(client uint32) int {
	return int(uint64(client)*0x9E3779B97F4A7C15>>32) & (len(t.slots) - 1)
}

// of gives the first filter of a client, nil if there is none.
func (t *refusals) of(c *client) *filter {
	if t.count == 0 {
		return nil
	}
	for i := t.home(c.number); ; i = (i + 1) & (len(t.slots) - 1) {
		if s := &t.slots[i]; s.first == nil || s.client == c.number {
			return s.first
		}
	}
}

// set replaces a client's first filter; nil takes the client out.
func (t *refusals) set(c *client, first *filter) {
	if first == nil {
		t.remove(c)
		return
	}
	if 4*(t.count+1) > 3*len(t.slots) {
		t.grow()
	}
	for i := t.home(c.number); ; i = (i + 1) & (len(t.slots) - 1) {
		s := &t.slots[i]
		if s.first == nil {
			t.count++
		} else if s.client != c.number {
			continue
		}
		*s = slot{c.number, first}
		return
	}
}

func (t *refusals) grow() {
	old := t.slots
	t.slots, t.count = make([]slot, max(4, 2*len(old))), 0
	for _, s := range old {
		if s.first != nil {
			t.set(s.first.client, s.first)
		}
	}
}

// remove closes the gap that a client leaves, so that no search ends early.
func (t *refusals) remove(c *client) {
	if t.of(c) == nil {
		return
	}
	mask := len(t.slots) - 1
	i := t.home(c.number)
	for t.slots[i].client != c.number || t.slots[i].first == nil {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; t.slots[j].first != nil; j = (j + 1) & mask {
		// What belongs at or before the gap moves into it.
		if (j-t.home(t.slots[j].client))&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
	if t.count--; t.count == 0 {
		t.slots = nil
	}
}

// clients are those with filters, in no order.
func (t *refusals) clients() []*client {
	out := make([]*client, 0, t.count)
	for _, s := range t.slots {
		if s.first != nil {
			out = append(out, s.first.client)
		}
	}
	return out
}
