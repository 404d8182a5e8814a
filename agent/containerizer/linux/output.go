package linux

import (
	"time"

	"agora.dev/agora/agent/containerlogger"
)

// How often the output of a container is looked at: soon again while it grows, less often when
// nothing comes.
const (
	outputSoonest = 250 * time.Millisecond
	outputLatest  = 4 * time.Second
)

// output is what is known of the files of a container's output.
type output struct {
	pause time.Duration
	sizes [2]int64
	told  bool // of an error
}

// rounds say at which tick the output of which container is looked at: a thousand that are quiet cost no tick
// more than their share.
type rounds struct {
	at    int
	slots [outputLatest/outputSoonest + 1][]*box
}

// add has a container looked at after a pause, of outputLatest at most.
func (r *rounds) add(b *box, pause time.Duration) {
	slot := (r.at + int(pause/outputSoonest)) % len(r.slots)
	r.slots[slot] = append(r.slots[slot], b)
}

// next are those whose turn has come.
func (r *rounds) next() []*box {
	r.at = (r.at + 1) % len(r.slots)
	due := r.slots[r.at]
	r.slots[r.at] = nil
	return due
}

// watchOutput keeps the output of all containers within its bounds, until the containerizer is
// closed. What ended meanwhile is looked at once more by await.
func (c *Containerizer) watchOutput() {
	tick := time.NewTicker(outputSoonest)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
		c.mu.Lock()
		due := c.rounds.next()
		c.mu.Unlock()
		for _, b := range due {
			c.look(b, &b.seen)
			c.mu.Lock()
			if !b.closed {
				c.rounds.add(b, b.seen.pause)
			}
			c.mu.Unlock()
		}
	}
}

// look bounds the output of a container, and decides when it is looked at again.
func (c *Containerizer) look(b *box, o *output) {
	b.output.Lock()
	defer b.output.Unlock()
	sizes := [2]int64{}
	for i, name := range []string{"stdout", "stderr"} {
		bound := b.Output.Stdout
		if i == 1 {
			bound = b.Output.Stderr
		}
		var err error
		if sizes[i], err = containerlogger.Rotate(b.Disk.Sandbox, name, bound); err != nil && !o.told {
			o.told = true
			c.log.Warn("output of container not rotated as it should", "container", b.id, "error", err)
		}
	}
	if o.pause = min(2*o.pause, outputLatest); o.pause == 0 || sizes != o.sizes {
		o.pause = outputSoonest
	}
	o.sizes = sizes
}
