package seccomp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in the kernel's seccomp_data, and where the x32 convention begins.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
	x32       = 0x40000000
)

// Compile returns the filter as the kernel takes it, eight bytes an instruction.
// Within one system call the first rule that matches wins, unconditional rules last.
func Compile(s *specs.LinuxSeccomp) ([]byte, error) {
	code, err := Assemble(s)
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(code)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	if len(raw) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp: profile needs %d instructions, the kernel takes %d", len(raw), unix.BPF_MAXINSNS)
	}
	var out []byte
	for _, i := range raw {
		out = binary.LittleEndian.AppendUint16(out, i.Op)
		out = append(out, i.Jt, i.Jf)
		out = binary.LittleEndian.AppendUint32(out, i.K)
	}
	return out, nil
}

// Assemble returns the filter as instructions.
func Assemble(s *specs.LinuxSeccomp) ([]bpf.Instruction, error) {
	if len(numbers) == 0 {
		return nil, fmt.Errorf("seccomp: no table of system calls for this architecture")
	}
	rest, err := verdict(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	notImplemented := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
	newest := slices.Max(slices.Collect(maps.Values(numbers)))
	blocks, err := blocks(s, rest)
	if err != nil {
		return nil, err
	}
	code := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1}, notImplemented,
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32, SkipTrue: 1}, notImplemented,
	}
	// Numbers ascend, so each block asks only whether the number is beyond it.
	for number := uint32(0); number <= newest; number++ {
		block := blocks[number]
		if len(block) == 1 && number < newest && slices.Equal(block, blocks[number+1]) {
			continue
		}
		if len(block) > 255 {
			return nil, fmt.Errorf("seccomp: the rules for call %d need %d instructions, more than 255", number, len(block))
		}
		code = append(code, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: number, SkipTrue: uint8(len(block))})
		code = append(code, block...)
	}
	if s.DefaultAction == specs.ActAllow {
		return append(code, bpf.RetConstant{Val: rest}), nil
	}
	return append(code, notImplemented), nil
}

// blocks returns what is done for each number up to the newest known.
func blocks(s *specs.LinuxSeccomp, rest uint32) (map[uint32][]bpf.Instruction, error) {
	out, final := map[uint32][]bpf.Instruction{}, map[uint32]uint32{}
	for _, rule := range s.Syscalls {
		v, err := verdict(rule.Action, rule.ErrnoRet)
		if err != nil {
			return nil, err
		}
		for _, name := range rule.Names {
			number, ok := numbers[name]
			if !ok {
				continue // of another architecture, or newer than our table
			}
			if len(rule.Args) == 0 {
				if _, ok := final[number]; !ok {
					final[number] = v
				}
				continue
			}
			block, err := conditions(rule.Args, v)
			if err != nil {
				return nil, fmt.Errorf("seccomp: %s: %w", name, err)
			}
			out[number] = append(out[number], block...)
		}
	}
	for number := range slices.Max(slices.Collect(maps.Values(numbers))) + 1 {
		v, ok := final[number]
		if !ok {
			v = rest
		}
		out[number] = append(out[number], bpf.RetConstant{Val: v})
	}
	return out, nil
}

// conditions returns v when all hold, and falls through otherwise.
func conditions(args []specs.LinuxSeccompArg, v uint32) ([]bpf.Instruction, error) {
	block := []bpf.Instruction{bpf.RetConstant{Val: v}}
	for _, arg := range slices.Backward(args) {
		one, err := compare(arg, len(block))
		if err != nil {
			return nil, err
		}
		block = append(one, block...)
	}
	return block, nil
}

// compare falls through when arg holds and else skips the next after instructions.
func compare(arg specs.LinuxSeccompArg, after int) ([]bpf.Instruction, error) {
	if arg.Index > 5 {
		return nil, fmt.Errorf("argument %d", arg.Index)
	}
	if after > 240 {
		return nil, fmt.Errorf("too many conditions")
	}
	low := bpf.LoadAbsolute{Off: offArgs + 8*uint32(arg.Index), Size: 4}
	high := bpf.LoadAbsolute{Off: low.Off + 4, Size: 4}
	lo, hi, no := uint32(arg.Value), uint32(arg.Value>>32), uint8(after)
	lower := func(cond bpf.JumpTest) []bpf.Instruction {
		return []bpf.Instruction{low, bpf.JumpIf{Cond: cond, Val: lo, SkipFalse: no}}
	}
	// ordered decides by the high half, and by the low one when those are equal.
	ordered := func(beyond, cond bpf.JumpTest) []bpf.Instruction {
		return append([]bpf.Instruction{high,
			bpf.JumpIf{Cond: beyond, Val: hi, SkipTrue: 3},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: hi, SkipFalse: no + 2}}, lower(cond)...)
	}
	switch arg.Op {
	case specs.OpEqualTo:
		return append([]bpf.Instruction{high, bpf.JumpIf{Cond: bpf.JumpEqual, Val: hi, SkipFalse: no + 2}}, lower(bpf.JumpEqual)...), nil
	case specs.OpNotEqual:
		return append([]bpf.Instruction{high, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: hi, SkipTrue: 2}}, lower(bpf.JumpNotEqual)...), nil
	case specs.OpGreaterThan:
		return ordered(bpf.JumpGreaterThan, bpf.JumpGreaterThan), nil
	case specs.OpGreaterEqual:
		return ordered(bpf.JumpGreaterThan, bpf.JumpGreaterOrEqual), nil
	case specs.OpLessThan:
		return ordered(bpf.JumpLessThan, bpf.JumpLessThan), nil
	case specs.OpLessEqual:
		return ordered(bpf.JumpLessThan, bpf.JumpLessOrEqual), nil
	case specs.OpMaskedEqual:
		return []bpf.Instruction{
			high, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: hi}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(arg.ValueTwo >> 32), SkipFalse: no + 3},
			low, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: lo}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(arg.ValueTwo), SkipFalse: no},
		}, nil
	}
	return nil, fmt.Errorf("unknown comparison %s", arg.Op)
}

func verdict(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	code := uint32(unix.EPERM)
	if errno != nil {
		code = uint32(*errno) & 0xffff
	}
	switch action {
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | code, nil
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	}
	return 0, fmt.Errorf("seccomp: unsupported action %s", action)
}
