package seccomp

import (
	"encoding/binary"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdictOf runs the filter on one call. The library's machine reads big endian, the
// kernel the machine's own order, so each half is written big endian here.
func verdictOf(t *testing.T, code []bpf.Instruction, arch, number uint32, args ...uint64) uint32 {
	t.Helper()
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offNumber:], number)
	binary.BigEndian.PutUint32(data[offArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offArgs+8*i+4:], uint32(a>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

// assembled is a profile's filter, on machines whose system calls we have a table of.
func assembled(t *testing.T, profile *specs.LinuxSeccomp) []bpf.Instruction {
	t.Helper()
	if len(numbers) == 0 {
		t.Skip("SKIP: no table of system calls for this architecture")
	}
	code, err := Assemble(profile)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

const (
	allow  = unix.SECCOMP_RET_ALLOW
	eperm  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
)

func TestDefaultProfileRefusesWhatReachesTheHost(t *testing.T) {
	profile, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	code := assembled(t, profile)
	for name, number := range map[string]uint32{"keyctl": unix.SYS_KEYCTL, "mount": unix.SYS_MOUNT, "unshare": unix.SYS_UNSHARE,
		"bpf": unix.SYS_BPF, "init_module": unix.SYS_INIT_MODULE, "setns": unix.SYS_SETNS, "io_uring_setup": unix.SYS_IO_URING_SETUP,
		"add_key": unix.SYS_ADD_KEY, "kexec_load": unix.SYS_KEXEC_LOAD, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "pivot_root": unix.SYS_PIVOT_ROOT,
		"userfaultfd": unix.SYS_USERFAULTFD, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "move_mount": unix.SYS_MOVE_MOUNT} {
		if got := verdictOf(t, code, auditArch, number); got != eperm {
			t.Errorf("%s: verdict %#x, want EPERM", name, got)
		}
	}
	for name, number := range map[string]uint32{"read": unix.SYS_READ, "execve": unix.SYS_EXECVE, "openat2": unix.SYS_OPENAT2, "futex": unix.SYS_FUTEX,
		"close_range": unix.SYS_CLOSE_RANGE, "write": unix.SYS_WRITE, "exit_group": unix.SYS_EXIT_GROUP, "rseq": unix.SYS_RSEQ} {
		if got := verdictOf(t, code, auditArch, number); got != allow {
			t.Errorf("%s: verdict %#x, want allow", name, got)
		}
	}
	for _, c := range []struct {
		what         string
		arch, number uint32
		args         []uint64
		want         uint32
	}{
		{"clone of a process", auditArch, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, allow},
		{"clone into a user namespace", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, eperm},
		{"clone3", auditArch, unix.SYS_CLONE3, nil, enosys},
		{"the 32-bit convention", unix.AUDIT_ARCH_I386, unix.SYS_READ, nil, enosys},
		{"the x32 convention", auditArch, x32 | unix.SYS_READ, nil, enosys},
		{"a call of the future", auditArch, 999, nil, enosys},
		{"a vsock", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK}, eperm},
		{"a socket", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET}, allow},
		{"a vsock in disguise", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK | 1<<40}, eperm},
		{"personality", auditArch, unix.SYS_PERSONALITY, []uint64{0x0400000}, eperm},
	} {
		if got := verdictOf(t, code, c.arch, c.number, c.args...); got != c.want {
			t.Errorf("%s: verdict %#x, want %#x", c.what, got, c.want)
		}
	}
}

// Runtimes leave out rules whose action is the default one, and libseccomp those beside a
// rule without conditions: what such a rule forbids would be allowed.
func TestDefaultProfileOnlyAllows(t *testing.T) {
	profile, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	free := map[string]bool{}
	for _, rule := range profile.Syscalls {
		for _, name := range rule.Names {
			free[name] = free[name] || len(rule.Args) == 0
		}
	}
	for _, rule := range profile.Syscalls {
		for _, name := range rule.Names {
			if rule.Action == profile.DefaultAction && rule.ErrnoRet == nil || len(rule.Args) > 0 && free[name] {
				t.Errorf("a runtime drops the rule of %s: %+v", name, rule)
			}
		}
	}
	code := assembled(t, profile)
	for family := range uint64(64) {
		want := uint32(allow)
		if family == unix.AF_VSOCK {
			want = eperm
		}
		if got := verdictOf(t, code, auditArch, unix.SYS_SOCKET, family); got != want {
			t.Errorf("family %d: verdict %#x, want %#x", family, got, want)
		}
	}
}

func TestComparisonsLookAtAll64Bits(t *testing.T) {
	values := []uint64{0, 1, 5, 6, 1 << 32, 5 | 1<<32, 5 | 2<<32, 6 | 1<<32, 1<<63 | 5}
	for op, holds := range map[specs.LinuxSeccompOperator]func(a, b uint64) bool{
		specs.OpEqualTo: func(a, b uint64) bool { return a == b }, specs.OpNotEqual: func(a, b uint64) bool { return a != b },
		specs.OpGreaterThan: func(a, b uint64) bool { return a > b }, specs.OpGreaterEqual: func(a, b uint64) bool { return a >= b },
		specs.OpLessThan: func(a, b uint64) bool { return a < b }, specs.OpLessEqual: func(a, b uint64) bool { return a <= b },
		specs.OpMaskedEqual: func(a, b uint64) bool { return a&b == b },
	} {
		for _, against := range values {
			code := assembled(t, &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{
				Names: []string{"read"}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{{Index: 2, Value: against, ValueTwo: against, Op: op}}}}})
			for _, value := range values {
				want := eperm
				if holds(value, against) {
					want = allow
				}
				if got := verdictOf(t, code, auditArch, numbers["read"], 0, 0, value); got != want {
					t.Errorf("%#x %s %#x: verdict %#x, want %#x", value, op, against, got, want)
				}
			}
		}
	}
}
