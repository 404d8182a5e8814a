package seccomp

import (
	"math/rand/v2"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// refusing is the built-in profile with rules in front of it.
func refusing(t *testing.T, front ...specs.LinuxSyscall) *specs.LinuxSeccomp {
	t.Helper()
	filter, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	filter.Syscalls = append(front, filter.Syscalls...)
	return filter
}

func without(index uint, value uint64, name string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno,
		Args: []specs.LinuxSeccompArg{{Index: index, Value: lowerHalf, ValueTwo: value, Op: specs.OpMaskedEqual}}}
}

// matching are the actions of the rules that hold for a call, in any order.
func matching(s *specs.LinuxSeccomp, name string, args [6]uint64) (actions []specs.LinuxSeccompAction) {
	for _, rule := range s.Syscalls {
		if slices.Contains(rule.Names, name) && !slices.ContainsFunc(rule.Args, func(a specs.LinuxSeccompArg) bool { return args[a.Index]&a.Value != a.ValueTwo }) {
			actions = append(actions, rule.Action)
		}
	}
	return actions
}

func TestUnorderedRulesSayWhatOrderedOnesDo(t *testing.T) {
	const first, second = unix.FS_IOC_SETFLAGS, 0x401c5820
	ordered := refusing(t, without(1, first, "ioctl"), without(1, second, "ioctl"), without(2, 7, "fcntl"), without(1, 9, "fcntl"),
		specs.LinuxSyscall{Names: []string{"file_setattr"}, Action: specs.ActErrno})
	code, free := assembled(t, ordered), Unordered(ordered)
	values := []uint64{0, 7, 9, first, second, first | 1<<40, second | 1<<63, lowerHalf, 1 << 32, unix.TIOCGWINSZ}
	for bit := range 32 {
		values = append(values, first^1<<bit, second^1<<bit)
	}
	for range 2000 {
		values = append(values, rand.Uint64())
	}
	for name, number := range map[string]uint32{"ioctl": unix.SYS_IOCTL, "fcntl": unix.SYS_FCNTL, "file_setattr": unix.SYS_FILE_SETATTR, "read": unix.SYS_READ} {
		for _, v := range values {
			args := [6]uint64{3, v, values[rand.IntN(10)]}
			allowed := verdictOf(t, code, auditArch, number, args[:]...) == allow
			actions := matching(free, name, args)
			if want := map[bool]int{true: 1, false: 0}[allowed]; len(slices.DeleteFunc(slices.Clone(actions), func(a specs.LinuxSeccompAction) bool { return a != specs.ActAllow })) != want {
				t.Fatalf("%s%#x: allowed %v by the first rule that holds; of those without order these hold: %v", name, args, allowed, actions)
			}
		}
	}
	for _, rule := range free.Syscalls {
		if sameVerdict(rule, free) {
			t.Errorf("a rule says what holds without it, which libseccomp refuses: %+v", rule)
		}
	}
}

func TestUnorderedLeavesTheRestAlone(t *testing.T) {
	plain := refusing(t)
	if free := Unordered(plain); len(free.Syscalls) != len(plain.Syscalls) {
		t.Errorf("%d rules became %d", len(plain.Syscalls), len(free.Syscalls))
	}
	open := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{without(1, 5, "ioctl")}}
	if free := Unordered(open); len(free.Syscalls) != 1 || free.Syscalls[0].Action != specs.ActErrno {
		t.Errorf("a profile that allows the rest refuses by %+v", free.Syscalls)
	}
	if Unordered(nil) != nil {
		t.Error("no filter became one")
	}
}
