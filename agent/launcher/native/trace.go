package native

import (
	"encoding/binary"
	"os"

	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/launchtrace"
	"golang.org/x/sys/unix"
)

// times are the readings of the clock that a shim makes: into its own memory, and from there,
// all at once, into the file of its program, where the launcher finds them.
type times struct {
	steps []launchtrace.Step
	at    shim.Arg
	done  bool // what follows is not measured
}

// timeLen is the length of one reading: seconds and nanoseconds.
const timeLen = 16

func (c *compiler) keepTimes() {
	if c.times != nil {
		c.times.at = c.p.Words(make([]uint64, len(launchtrace.All())*timeLen/8)...)
	}
}

// mark has the shim read the clock at the end of a step.
func (c *compiler) mark(step launchtrace.Step) {
	t := c.times
	if t == nil || t.done {
		return
	}
	c.p.Call("read the clock", unix.SYS_CLOCK_GETTIME, shim.Int(unix.CLOCK_MONOTONIC), shim.Int(t.at.Address()+uint64(len(t.steps)*timeLen))).Optional()
	t.steps = append(t.steps, step)
}

// handOverTimes ends the marks. It comes before the filter of system calls, which need not
// know these calls.
func (c *compiler) handOverTimes() {
	t := c.times
	if t == nil || t.done {
		return
	}
	t.done = true
	c.p.Call("hand over times", unix.SYS_PWRITE64, shim.Int(shim.ProgramFD), t.at, shim.Int(len(t.steps)*timeLen), shim.Int(t.at.Offset())).Optional()
}

// read gives what the shim measured, out of the file of its program.
func (t *times) read(program *os.File) (marks []launchtrace.Mark) {
	if t == nil {
		return nil
	}
	raw := make([]byte, len(t.steps)*timeLen)
	if _, err := program.ReadAt(raw, t.at.Offset()); err != nil {
		return nil
	}
	for i, step := range t.steps {
		seconds, nanos := binary.LittleEndian.Uint64(raw[i*timeLen:]), binary.LittleEndian.Uint64(raw[i*timeLen+8:])
		if seconds != 0 || nanos != 0 {
			marks = append(marks, launchtrace.Mark{Step: step, At: launchtrace.Time(seconds*1e9 + nanos)})
		}
	}
	return marks
}
