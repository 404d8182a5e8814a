package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Filters makes lists of devices hold in groups of version 2. Groups with the same list
// share a program: loading one costs more than the rest of a container's groups. The zero
// value is ready; a nil one shares nothing.
type Filters struct {
	mu     sync.Mutex
	loaded map[string]*ebpf.Program
}

// kinds bounds the programs that are kept; a group keeps its own in any case.
const kinds = 32

// Attach makes rules those of the group at dir, in place of the ones that an earlier call
// made. They hold for groups below it too, whose own rules can only take more away.
func (f *Filters) Attach(dir string, rules []specs.LinuxDeviceCgroup) error {
	if f == nil {
		f = &Filters{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	program, err := f.load(rules)
	if err != nil {
		return fmt.Errorf("device filter of %s: %w", dir, err)
	}
	group, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("device filter: %w", err)
	}
	defer group.Close()
	if err := replace(int(group.Fd()), program); err != nil {
		return fmt.Errorf("device filter of %s: %w", dir, err)
	}
	return nil
}

func (f *Filters) load(rules []specs.LinuxDeviceCgroup) (*ebpf.Program, error) {
	key, err := json.Marshal(rules)
	if err != nil {
		return nil, err
	}
	if p := f.loaded[string(key)]; p != nil {
		return p, nil
	}
	instructions, err := compile(rules)
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupDevice, Instructions: instructions, License: "Apache-2.0"})
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	if f.loaded == nil || len(f.loaded) >= kinds {
		closeAll(slices.Collect(maps.Values(f.loaded)))
		f.loaded = map[string]*ebpf.Program{}
	}
	f.loaded[string(key)] = program
	return program, nil
}

// replace attaches a program to a group and detaches those that it had. At no time has
// the group none, unless it had none before.
func replace(group int, program *ebpf.Program) error {
	info, err := program.Info()
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	own, _ := info.ID()
	before, err := link.QueryPrograms(link.QueryOptions{Target: group, Attach: ebpf.AttachCGroupDevice})
	if err != nil {
		return fmt.Errorf("list programs: %w", err)
	}
	if !slices.ContainsFunc(before.Programs, func(p link.AttachedProgram) bool { return p.ID == own }) {
		options := link.RawAttachProgramOptions{Target: group, Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI}
		if err := link.RawAttachProgram(options); err != nil {
			return fmt.Errorf("attach: %w", err)
		}
	}
	for _, p := range before.Programs {
		if p.ID != own {
			if err := detach(group, p.ID); err != nil {
				return fmt.Errorf("detach program %d: %w", p.ID, err)
			}
		}
	}
	return nil
}

func detach(group int, id ebpf.ProgramID) error {
	program, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer program.Close()
	return link.RawDetachProgram(link.RawDetachProgramOptions{Target: group, Program: program, Attach: ebpf.AttachCGroupDevice})
}

func closeAll(programs []*ebpf.Program) {
	for _, p := range programs {
		p.Close()
	}
}

// Supported tells whether this kernel takes a filter, by loading one that is attached to
// nothing.
func Supported() error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupDevice, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		return fmt.Errorf("the kernel takes no eBPF program that filters devices (CONFIG_CGROUP_BPF, CAP_BPF): %w", err)
	}
	return program.Close()
}

// The registers of the program, after its prologue.
const (
	kind   = asm.R2
	access = asm.R3
	major  = asm.R4
	minor  = asm.R5
)

// compile asks the last rule first, since later rules override earlier ones. What no rule
// speaks of is refused.
func compile(rules []specs.LinuxDeviceCgroup) (asm.Instructions, error) {
	// struct bpf_cgroup_dev_ctx: access<<16|type, major, minor.
	out := asm.Instructions{
		asm.LoadMem(kind, asm.R1, 0, asm.Word), asm.And.Imm32(kind, 0xFFFF),
		asm.LoadMem(access, asm.R1, 0, asm.Word), asm.RSh.Imm32(access, 16),
		asm.LoadMem(major, asm.R1, 4, asm.Word), asm.LoadMem(minor, asm.R1, 8, asm.Word),
	}
	for i := len(rules) - 1; i >= 0; i-- {
		block, err := one(rules[i], label(i-1))
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		block[0] = block[0].WithSymbol(label(i))
		out = append(out, block...)
	}
	return append(out, asm.Mov.Imm32(asm.R0, 0).WithSymbol(label(-1)), asm.Return()), nil
}

func label(rule int) string { return "rule" + strconv.Itoa(rule+1) }

// one is what a rule says, or else goes on at next. A rule that allows must cover all of
// the access that is wanted; for one that denies a part is enough.
func one(rule specs.LinuxDeviceCgroup, next string) (out asm.Instructions, err error) {
	switch rule.Type {
	case "", "a":
	case "c", "u":
		out = append(out, asm.JNE.Imm(kind, unix.BPF_DEVCG_DEV_CHAR, next))
	case "b":
		out = append(out, asm.JNE.Imm(kind, unix.BPF_DEVCG_DEV_BLOCK, next))
	default:
		return nil, fmt.Errorf("type %q is none of a, b, c", rule.Type)
	}
	covered, err := mask(rule.Access)
	if err != nil {
		return nil, err
	}
	wanted := asm.Instructions{asm.Mov.Reg32(asm.R1, access), asm.And.Imm32(asm.R1, covered)}
	if rule.Allow {
		out = append(append(out, wanted...), asm.JNE.Reg(asm.R1, access, next))
	} else {
		out = append(append(out, wanted...), asm.JEq.Imm(asm.R1, 0, next))
	}
	for _, n := range []struct {
		number *int64
		held   asm.Register
	}{{rule.Major, major}, {rule.Minor, minor}} {
		if n.number == nil || *n.number < 0 {
			continue
		}
		if *n.number > 1<<31-1 {
			return nil, fmt.Errorf("device number %d is too large", *n.number)
		}
		out = append(out, asm.JNE.Imm(n.held, int32(*n.number), next))
	}
	verdict := int32(0)
	if rule.Allow {
		verdict = 1
	}
	return append(out, asm.Mov.Imm32(asm.R0, verdict), asm.Return()), nil
}

func mask(text string) (out int32, err error) {
	if text == "" {
		text = "rwm"
	}
	for letter := range strings.SplitSeq(text, "") {
		switch letter {
		case "r":
			out |= unix.BPF_DEVCG_ACC_READ
		case "w":
			out |= unix.BPF_DEVCG_ACC_WRITE
		case "m":
			out |= unix.BPF_DEVCG_ACC_MKNOD
		default:
			return 0, fmt.Errorf("access %q is not made of r, w and m", text)
		}
	}
	return out, nil
}
