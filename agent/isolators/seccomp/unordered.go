package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lowerHalf is the mask of a comparison of a whole 32-bit argument.
const lowerHalf = 0xffffffff

// Unordered is the same filter for runtimes whose rules have no order: libseccomp, beneath runc and crun, takes a rule
// without conditions for all that there is to say about a call, whatever stands before it. So of each call the
// first such rule alone is left, and where one that refuses values of a 32-bit argument stands before, it allows the
// others, piece by piece. A rule that allows such a value by other conditions keeps its effect.
func Unordered(s *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	if s == nil {
		return nil
	}
	out := *s
	out.Syscalls = nil
	decided, cuts := map[string]bool{}, map[string][]cut{}
	for _, rule := range s.Syscalls {
		c, refuses := cutOf(rule)
		said := sameVerdict(rule, s) && (refuses || len(rule.Args) == 0) // libseccomp takes no rule for it
		whole := rule
		whole.Names = nil
		for _, name := range rule.Names {
			if refuses {
				cuts[name] = append(cuts[name], c)
			}
			switch {
			case decided[name]:
			case said:
				decided[name] = len(rule.Args) == 0
			case len(rule.Args) == 0 && len(cuts[name]) > 0:
				out.Syscalls = append(out.Syscalls, pieces(name, rule, cuts[name])...)
				decided[name] = true
			default:
				decided[name] = len(rule.Args) == 0
				whole.Names = append(whole.Names, name)
			}
		}
		if len(whole.Names) > 0 {
			out.Syscalls = append(out.Syscalls, whole)
		}
	}
	return &out
}

// cut is a value of a 32-bit argument that a rule takes away.
type cut struct {
	index uint
	value uint32
}

func cutOf(rule specs.LinuxSyscall) (cut, bool) {
	if len(rule.Args) != 1 || rule.Action == specs.ActAllow {
		return cut{}, false
	}
	arg := rule.Args[0]
	return cut{arg.Index, uint32(arg.ValueTwo)}, arg.Op == specs.OpMaskedEqual && arg.Value == lowerHalf && arg.ValueTwo <= lowerHalf
}

func sameVerdict(rule specs.LinuxSyscall, s *specs.LinuxSeccomp) bool {
	one, err := verdict(rule.Action, rule.ErrnoRet)
	rest, other := verdict(s.DefaultAction, s.DefaultErrnoRet)
	return err == nil && other == nil && one == rest
}

// pieces are rules for a call that together hold whenever no cut does, and one at a time: one for each block of values
// with the same leading bits that is next to a value that is cut. Cuts of several arguments have to be avoided together.
func pieces(name string, rule specs.LinuxSyscall, cuts []cut) []specs.LinuxSyscall {
	sets := [][]specs.LinuxSeccompArg{nil}
	for index := range uint(6) {
		var values []uint32
		for _, c := range cuts {
			if c.index == index {
				values = append(values, c.value)
			}
		}
		if len(values) == 0 {
			continue
		}
		var next [][]specs.LinuxSeccompArg
		for _, set := range sets {
			for _, block := range blocksWithout(values, 0, 0) {
				arg := specs.LinuxSeccompArg{Index: index, Value: uint64(block.mask), ValueTwo: uint64(block.bits), Op: specs.OpMaskedEqual}
				next = append(next, append(slices.Clip(set), arg))
			}
		}
		sets = next
	}
	var out []specs.LinuxSyscall
	for _, set := range sets {
		out = append(out, specs.LinuxSyscall{Names: []string{name}, Action: rule.Action, ErrnoRet: rule.ErrnoRet, Args: set})
	}
	return out
}

// block are the values whose bits beneath the mask are these.
type block struct{ mask, bits uint32 }

// blocksWithout divides the values that begin with these bits, and are not among the given, into blocks.
func blocksWithout(values []uint32, mask, bits uint32) []block {
	inside := func(v uint32) bool { return v&mask == bits }
	switch {
	case !slices.ContainsFunc(values, inside):
		return []block{{mask, bits}}
	case mask == lowerHalf:
		return nil
	}
	deeper := mask>>1 | 1<<31
	return append(blocksWithout(values, deeper, bits), blocksWithout(values, deeper, bits|deeper&^mask)...)
}
