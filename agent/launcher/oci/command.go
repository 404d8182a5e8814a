package oci

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher/shim"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Descriptors that the runtime passes on to the shim, as the init of the container.
const (
	programFD = shim.ProgramFD
	errorFD   = 4
	statusFD  = 5
	imageFD   = 6
	stdioFD   = 7 // and the two after it
	gateFD    = 10
	passed    = gateFD - programFD + 1
)

// initArgs is what the runtime executes: the shim, by its descriptor. Nothing needs to
// be mounted or copied into the container.
var initArgs = []string{fmt.Sprintf("/proc/self/fd/%d", imageFD)}

// job is what the init does in a container that the runtime has made.
type job struct {
	process *specs.Process // nil holds the namespaces
	// filter is set for a process whose system calls the runtime does not filter.
	filter *specs.LinuxSeccomp
	ownPID bool
	// ignored are the signals that the launcher ignores.
	ignored uint64
}

// program turns the runtime's process into the init and its child into the command.
func (j job) program() (*shim.Program, error) {
	p := shim.New(errorFD)
	p.Call("block signals", unix.SYS_RT_SIGPROCMASK, shim.Int(unix.SIG_SETMASK), p.Words(^uint64(0)), shim.Int(0), shim.Int(8))
	p.Call("name init", unix.SYS_PRCTL, shim.Int(unix.PR_SET_NAME), p.String("agora-init")).Optional()
	// The init holds the file of the exit status: nobody in the container may reach
	// its descriptors through /proc.
	p.Call("hide init", unix.SYS_PRCTL, shim.Int(unix.PR_SET_DUMPABLE), shim.Int(0))
	p.Call("wait for the cgroup", unix.SYS_READ, shim.Int(gateFD), p.Words(0), shim.Int(1))
	if !j.ownPID {
		p.Call("adopt orphans", unix.SYS_PRCTL, shim.Int(unix.PR_SET_CHILD_SUBREAPER), shim.Int(1))
	}
	if j.process == nil {
		becomeInit(p, shim.None)
		return p, nil
	}
	if len(j.process.Args) == 0 {
		return nil, errors.New("no command")
	}
	child, parent, on := p.Reg(), &shim.Label{}, &shim.Label{}
	p.Call("fork", unix.SYS_CLONE, shim.Int(unix.SIGCHLD), shim.Int(0), shim.Int(0), shim.Int(0), shim.Int(0)).To(child)
	p.JumpNonZero(child, parent)
	p.Jump(on)
	p.Set(parent)
	becomeInit(p, child)
	p.Set(on)
	return p, j.command(p)
}

// becomeInit closes all but the status.
func becomeInit(p *shim.Program, child shim.Reg) {
	last := ^uint32(0)
	p.Call("close files", unix.SYS_CLOSE_RANGE, shim.Int(statusFD+1), shim.Int(last), shim.Int(0))
	p.Call("close files", unix.SYS_CLOSE_RANGE, shim.Int(0), shim.Int(statusFD-1), shim.Int(0))
	p.Init(child, statusFD)
}

func (j job) command(p *shim.Program) error {
	p.Call("setsid", unix.SYS_SETSID)
	for fd := range 3 {
		p.Call("output", unix.SYS_DUP3, shim.Int(stdioFD+fd), shim.Int(fd), shim.Int(0))
	}
	if j.process.Terminal {
		p.Call("take terminal", unix.SYS_IOCTL, shim.Int(0), shim.Int(unix.TIOCSCTTY), shim.Int(1))
	}
	last := ^uint32(0)
	p.Call("mark files", unix.SYS_CLOSE_RANGE, shim.Int(3), shim.Int(last), shim.Int(unix.CLOSE_RANGE_CLOEXEC))
	p.FreshSignals(j.ignored)
	if j.filter != nil {
		code, err := seccomp.Compile(j.filter)
		if err != nil {
			return err
		}
		fprog := p.Words(uint64(len(code)/8), p.Bytes(code).Address())
		p.Call("filter system calls", unix.SYS_SECCOMP, shim.Int(unix.SECCOMP_SET_MODE_FILTER), shim.Int(0), fprog)
	}
	execute(p, j.process.Args, j.process.Env)
	return nil
}

// execute looks for the command as execvp would.
func execute(p *shim.Program, args, env []string) {
	files := []string{args[0]}
	if !strings.Contains(args[0], "/") {
		search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		for _, e := range env {
			if value, ok := strings.CutPrefix(e, "PATH="); ok && value != "" {
				search = value
			}
		}
		files = nil
		for dir := range strings.SplitSeq(search, ":") {
			files = append(files, path.Join(dir, args[0]))
		}
	}
	argv, envp := p.Strings(args), p.Strings(env)
	for i, file := range files {
		op := p.Call("exec "+args[0], unix.SYS_EXECVE, p.String(file), argv, envp)
		if i < len(files)-1 {
			op.Optional()
		}
	}
}
