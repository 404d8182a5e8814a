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
	next  time.Time
	sizes [2]int64
	told  bool // of an error
}

// watchOutput keeps the output of all containers within its bounds, until the containerizer is
// closed. What ended meanwhile is looked at once more by await.
func (c *Containerizer) watchOutput() {
	tick := time.NewTicker(outputSoonest)
	defer tick.Stop()
	known := map[*box]*output{}
	for {
		select {
		case <-tick.C:
		case <-c.closing:
			return
		}
		now, live := time.Now(), map[*box]*output{}
		for _, b := range c.running() {
			o := known[b]
			if o == nil {
				o = &output{}
			}
			live[b] = o
			if !now.Before(o.next) {
				c.look(b, o)
				o.next = now.Add(o.pause)
			}
		}
		known = live
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
