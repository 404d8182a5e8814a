// Package shim is the first process of every container: a static executable of some
// hundred bytes, written in Go assembly and copied out of our own binary, that
// executes a list of system calls and then is the init of the container.
//
// It promises that nothing of Go's runtime runs between clone and the command's exec
// (so a limit of two processes or one percent of a CPU does not matter, and it can
// enter other namespaces, being single threaded), that the first call to fail is
// reported by its place in the list, and that the container's status is written to a
// file before the init exits with it. It refuses to decide anything: the list is
// made beforehand by the launcher. See docs/design/containers.md.
package shim

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"
)

// Layout of the program in the shim's memory, mirrored in shim_amd64.s. Data have a
// fixed place, so that pointers are known while the list is still growing.
const (
	base     = 0x10000000
	size     = 0x1000000
	errfdAt  = 8
	opsAt    = 576
	opLen    = 64
	dataAt   = 0x100000
	maxOps   = (dataAt - opsAt) / opLen
	maxData  = size - dataAt
	numRegs  = 64
	kindCall = 0
	kindJNZ  = 1
	kindInit = 2
	kindJNeg = 3
	kindSet  = 4
	kindJump = 5
)

// ProgramFD is the descriptor from which the shim maps its program.
const ProgramFD = 3

// Reg holds the result of a call for later ones. Register 0 takes results that nobody
// wants; the last one stays zero.
type Reg uint8

// None always reads zero.
const None Reg = numRegs - 1

// Arg is an argument of a call: a value or a register.
type Arg struct {
	value uint64
	reg   bool
}

// Int is a number.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint16 | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{value: uint64(v)}
}

// Op is an entry of the list; its methods refine it.
type Op struct {
	name   string
	nr     uint16
	kind   uint8
	dst    Reg
	refs   uint8
	policy uint8
	errno  uint16
	args   [6]uint64
}

// Program is a list of system calls with the data they point to. The zero value is
// not ready; use New.
type Program struct {
	ops     []*Op
	data    []byte
	strings map[string]uint64
	errFD   int
	nextReg Reg
	free    []Reg
}

// New starts a program that reports its first failure on errFD.
func New(errFD int) *Program {
	return &Program{strings: map[string]uint64{}, errFD: errFD, nextReg: 1}
}

// Reg returns a register that nobody uses.
func (p *Program) Reg() Reg {
	r := p.nextReg
	p.nextReg++
	return r
}

// Borrow returns a register that Free gave back, or a new one.
func (p *Program) Borrow() Reg {
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		return r
	}
	return p.Reg()
}

// Free gives a register back.
func (p *Program) Free(r Reg) { p.free = append(p.free, r) }

// Arg passes the register's content.
func (r Reg) Arg() Arg { return Arg{value: uint64(r), reg: true} }

// Call appends a system call. The name is what a failure is reported as.
func (p *Program) Call(name string, nr uintptr, args ...Arg) *Op {
	op := &Op{name: name, nr: uint16(nr)}
	for i, a := range args {
		op.args[i] = a.value
		if a.reg {
			op.refs |= 1 << i
		}
	}
	p.ops = append(p.ops, op)
	return op
}

// To keeps the result.
func (o *Op) To(r Reg) *Op { o.dst = r; return o }

// Optional lets the program go on when the call fails.
func (o *Op) Optional() *Op { o.policy = 1; return o }

// Except lets the program go on when the call fails with errno.
func (o *Op) Except(errno uint16) *Op { o.policy, o.errno = 2, errno; return o }

// Label is a place in the list that jumps can name before it is set.
type Label struct {
	at    int
	jumps []*Op
}

// Set puts the label here.
func (p *Program) Set(l *Label) {
	l.at = len(p.ops)
	for _, op := range l.jumps {
		op.args[1] = uint64(l.at)
	}
}

// JumpNonZero goes to l when r is not zero.
func (p *Program) JumpNonZero(r Reg, l *Label) { p.jump(kindJNZ, r, l) }

// JumpNegative goes to l when the call whose result is r failed.
func (p *Program) JumpNegative(r Reg, l *Label) { p.jump(kindJNeg, r, l) }

// Jump goes to l.
func (p *Program) Jump(l *Label) { p.jump(kindJump, None, l) }

func (p *Program) jump(kind uint8, r Reg, l *Label) {
	op := &Op{name: "jump", kind: kind}
	op.args[0] = uint64(r)
	op.args[1] = uint64(l.at)
	l.jumps = append(l.jumps, op)
	p.ops = append(p.ops, op)
}

// FreshSignals gives ignored signals, a set in which bit n-1 is signal n, their default action, and unblocks
// all: an exec keeps both as they are.
func (p *Program) FreshSignals(ignored uint64) {
	for rest := ignored; rest != 0; rest &= rest - 1 {
		number := bits.TrailingZeros64(rest) + 1
		p.Call(fmt.Sprintf("default action of signal %d", number), unix.SYS_RT_SIGACTION, Int(number), p.Words(0, 0, 0, 0), Int(0), Int(8))
	}
	p.Call("unblock signals", unix.SYS_RT_SIGPROCMASK, Int(unix.SIG_SETMASK), p.Words(0), Int(0), Int(8))
}

// ErrorsTo changes where failures are reported from here on.
func (p *Program) ErrorsTo(fd int) {
	op := &Op{name: "errors to", kind: kindSet}
	op.args[0], op.args[1] = base+errfdAt, uint64(fd)
	p.ops = append(p.ops, op)
}

// Init ends the program: forward signals to the process in child, reap, and when child
// ends write its wait status (four bytes) to statusFD and exit with it. With None it
// holds the namespaces until SIGTERM.
func (p *Program) Init(child Reg, statusFD int) {
	op := &Op{name: "init", kind: kindInit}
	op.args[0], op.args[1] = uint64(child), uint64(statusFD)
	p.ops = append(p.ops, op)
}

// Bytes places data, aligned for any structure, and returns its address.
func (p *Program) Bytes(b []byte) Arg {
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
	at := base + dataAt + uint64(len(p.data))
	p.data = append(p.data, b...)
	return Arg{value: at}
}

// String places s with its final zero; equal strings are placed once.
func (p *Program) String(s string) Arg {
	if at, ok := p.strings[s]; ok {
		return Arg{value: at}
	}
	at := base + dataAt + uint64(len(p.data))
	p.data = append(append(p.data, s...), 0)
	p.strings[s] = at
	return Arg{value: at}
}

// Strings places an array of strings ended by a null pointer, as execve wants it.
func (p *Program) Strings(list []string) Arg {
	words := make([]uint64, 0, len(list)+1)
	for _, s := range list {
		words = append(words, p.String(s).value)
	}
	return p.Words(append(words, 0)...)
}

// Words places 64-bit words.
func (p *Program) Words(words ...uint64) Arg {
	b := make([]byte, 0, len(words)*8)
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return p.Bytes(b)
}

// Address returns the address that an argument made of placed data holds.
func (a Arg) Address() uint64 { return a.value }

// Offset is where placed data lies in the file behind ProgramFD.
func (a Arg) Offset() int64 { return int64(a.value - base) }

// Name returns what the operation at index does, for the report of a failure.
func (p *Program) Name(index int) string {
	if index < 0 || index >= len(p.ops) {
		return "container start"
	}
	return p.ops[index].name
}

// Encode returns the program's two parts, to be written at offsets 0 and DataAt of
// the file behind ProgramFD.
func (p *Program) Encode() (list, data []byte, err error) {
	if len(p.ops) > maxOps || len(p.data) > maxData || p.nextReg >= None {
		return nil, nil, fmt.Errorf("container start needs %d calls, %d bytes, %d registers: more than the shim carries",
			len(p.ops), len(p.data), p.nextReg)
	}
	le := binary.LittleEndian
	list = make([]byte, opsAt, opsAt+len(p.ops)*opLen)
	le.PutUint32(list[errfdAt:], uint32(p.errFD))
	for _, op := range p.ops {
		list = le.AppendUint16(list, op.nr)
		list = append(list, op.kind, byte(op.dst), op.refs, op.policy)
		list = le.AppendUint16(list, op.errno)
		for _, a := range op.args {
			list = le.AppendUint64(list, a)
		}
		list = le.AppendUint64(list, 0)
	}
	return list, p.data, nil
}

// DataAt is the file offset of the data part.
const DataAt = dataAt
