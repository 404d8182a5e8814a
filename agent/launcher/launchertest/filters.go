package launchertest

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// firstRule has filters refuse what their first rule about a call refuses, though a later one allows the call.
func firstRule(r *Rig) {
	request := r.Request("filtered", `test -t 0 && echo terminal; stty size; mkdir /tmp/d || echo no directory; echo end`)
	request.Spec.Process.Terminal = true
	filter := *request.Spec.Linux.Seccomp
	filter.Syscalls = slices.Insert(slices.Clone(filter.Syscalls), 0,
		specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0xffffffff, ValueTwo: unix.TIOCGWINSZ, Op: specs.OpMaskedEqual}}},
		specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno})
	request.Spec.Linux.Seccomp = &filter
	exit, out := r.Run(request)
	for _, want := range []string{"terminal", "stty: standard input: Operation not permitted", "no directory", "end"} {
		if !strings.Contains(out, want) {
			r.T.Errorf("got %+v, output %q, want %q in it", exit, out, want)
		}
	}
}
