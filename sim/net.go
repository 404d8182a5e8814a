package sim

import "time"

// retransmit is how often a blocked direction is tried again.
const retransmit = 200 * time.Millisecond

// host is a machine on the network.
type host string

// network delays, holds and cuts what hosts say to each other.
type network struct {
	w *world
	// blocked holds directions in which nothing arrives now.
	blocked map[[2]host]bool
	conns   []*conn
}

// end is one side of a connection.
type end struct {
	host host
	// receive gets each message, closed the end of the connection; both at most
	// until the owner's process has died.
	receive func([]byte)
	closed  func()
}

// conn is a connection: ordered, and cut at most once. What was under way is lost then.
type conn struct {
	net    *network
	ends   [2]end
	last   [2]time.Time // arrival of the newest message towards each end
	held   [2][][]byte  // kept by a blocked direction, by the side that sent
	broken bool
	told   [2]bool
}

func (n *network) connect(a, b end) *conn {
	c := &conn{net: n, ends: [2]end{a, b}}
	n.conns = append(n.conns, c)
	return c
}

// sendMaybeTwice is send by a sender that repeats a message now and then.
func (c *conn) sendMaybeTwice(side int, message []byte) {
	c.send(side, message)
	if w := c.net.w; !w.calm && w.chance(0.03) {
		w.trace(c.ends[side].host, "sends it twice")
		c.send(side, message)
	}
}

// send puts a message under way from side.
func (c *conn) send(side int, message []byte) {
	if c.broken {
		return
	}
	w := c.net.w
	arrive := w.now.Add(w.latency())
	if other := 1 - side; arrive.Before(c.last[other]) {
		arrive = c.last[other]
	}
	c.last[1-side] = arrive
	w.at(arrive, func() { c.arrive(side, message) })
}

// arrive delivers, or keeps the message while the direction is blocked, as TCP would.
func (c *conn) arrive(side int, message []byte) {
	if c.broken || c.told[1-side] {
		return
	}
	if len(c.held[side]) == 0 && !c.isBlocked(side) {
		c.ends[1-side].receive(message)
		return
	}
	c.held[side] = append(c.held[side], message)
	if len(c.held[side]) == 1 {
		c.net.w.after(retransmit, func() { c.release(side) })
	}
}

// release delivers what was kept, in order, once the direction is open again.
func (c *conn) release(side int) {
	if c.isBlocked(side) && !c.broken {
		c.net.w.after(retransmit, func() { c.release(side) })
		return
	}
	held := c.held[side]
	c.held[side] = nil
	for _, message := range held {
		if c.broken || c.told[1-side] {
			return
		}
		c.ends[1-side].receive(message)
	}
}

func (c *conn) isBlocked(side int) bool {
	return c.net.blocked[[2]host{c.ends[side].host, c.ends[1-side].host}]
}

// cut breaks the connection. Each side learns of it on its own, some time later.
func (c *conn) cut() {
	if c.broken {
		return
	}
	c.broken = true
	for side := range c.ends {
		c.tell(side, c.net.w.latency())
	}
}

// close is the orderly end from side: what was sent before still arrives.
func (c *conn) close(side int) {
	if c.broken || c.told[side] {
		return
	}
	c.told[side] = true
	arrive := c.net.w.now.Add(c.net.w.latency())
	if arrive.Before(c.last[1-side]) {
		arrive = c.last[1-side]
	}
	c.net.w.at(arrive, func() {
		if !c.broken {
			c.broken = true
			c.tell(1-side, 0)
		}
	})
}

func (c *conn) tell(side int, d time.Duration) {
	c.net.w.after(d, func() {
		if !c.told[side] {
			c.told[side] = true
			c.ends[side].closed()
		}
	})
}

// cutAll breaks every connection of a host whose process has died: the others see it
// at once, or not before their own time-outs when the machine died with it.
func (n *network) cutAll(h host) {
	kept := n.conns[:0]
	for _, c := range n.conns {
		for side := range c.ends {
			if c.ends[side].host == h {
				c.told[side] = true
				c.cut()
			}
		}
		if !c.broken {
			kept = append(kept, c)
		}
	}
	clear(n.conns[len(kept):])
	n.conns = kept
}

// whenOpen runs do after the latency of one message from from to to. A blocked direction
// delays it for at most patience; then it is lost. held is called when it is delayed.
func (n *network) whenOpen(from, to host, patience time.Duration, do, held func()) {
	direction := [2]host{from, to}
	until := n.w.now.Add(patience)
	wait := 4 * retransmit
	var try func()
	try = func() {
		switch {
		case !n.blocked[direction]:
			do()
		case n.w.now.Before(until):
			n.w.after(wait, try)
		}
	}
	if n.blocked[direction] {
		held()
	}
	n.w.after(n.w.latency(), try)
}

// block stops what from says to to; heal lets everything through again.
func (n *network) block(from, to host) { n.blocked[[2]host{from, to}] = true }
func (n *network) heal()               { clear(n.blocked) }
