package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/launchtrace"
	"golang.org/x/sys/unix"
)

// command turns the forked child into what was asked for. The order matters: what
// needs privileges first, the system call filter last.
func (c *compiler) command() error {
	process := c.spec.Process
	if len(process.Args) == 0 {
		return errors.New("no command")
	}
	c.p.Call("setsid", unix.SYS_SETSID)
	if process.Terminal {
		c.p.Call("take terminal", unix.SYS_IOCTL, shim.Int(0), shim.Int(unix.TIOCSCTTY), shim.Int(1))
		c.giveTerminal()
	}
	for _, limit := range process.Rlimits {
		resource, ok := rlimits[limit.Type]
		if !ok {
			return fmt.Errorf("unknown resource limit %s", limit.Type)
		}
		c.p.Call("set "+limit.Type, unix.SYS_PRLIMIT64, shim.Int(0), shim.Int(resource), c.p.Words(limit.Soft, limit.Hard), shim.Int(0))
	}
	c.enterUsers()
	filter, err := c.filter()
	if err != nil {
		return err
	}
	if filter != nil && !process.NoNewPrivileges {
		c.handOverTimes()
		filter()
	}
	if err := c.identity(); err != nil {
		return err
	}
	c.mark(launchtrace.Identity)
	c.handOverTimes()
	cwd := process.Cwd
	if cwd == "" {
		cwd = "/"
	}
	c.p.Call("change to "+cwd, unix.SYS_CHDIR, c.p.String(cwd))
	last := ^uint32(0)
	c.p.Call("mark files", unix.SYS_CLOSE_RANGE, shim.Int(3), shim.Int(last), shim.Int(unix.CLOSE_RANGE_CLOEXEC))
	c.p.FreshSignals(c.ignored)
	if process.NoNewPrivileges {
		c.p.Call("no new privileges", unix.SYS_PRCTL, shim.Int(unix.PR_SET_NO_NEW_PRIVS), shim.Int(1), shim.Int(0), shim.Int(0), shim.Int(0))
		if filter != nil {
			filter()
		}
	}
	c.exec(process.Args, process.Env)
	return nil
}

func (c *compiler) filter() (func(), error) {
	if c.spec.Linux == nil || c.spec.Linux.Seccomp == nil {
		return nil, nil
	}
	program, err := c.filters.Compile(c.spec.Linux.Seccomp)
	if err != nil {
		return nil, err
	}
	return func() {
		code := c.p.Bytes(program)
		fprog := c.p.Words(uint64(len(program)/8), code.Address())
		c.p.Call("filter system calls", unix.SYS_SECCOMP, shim.Int(unix.SECCOMP_SET_MODE_FILTER), shim.Int(0), fprog)
	}, nil
}

// identity sets groups, user and the five capability sets.
func (c *compiler) identity() error {
	user, caps := c.spec.Process.User, c.spec.Process.Capabilities
	var sets [4]uint64 // effective, permitted, inheritable, ambient
	if caps != nil {
		bounding, err := capabilitySet(caps.Bounding)
		if err != nil {
			return err
		}
		for i, list := range [][]string{caps.Effective, caps.Permitted, caps.Inheritable, caps.Ambient} {
			if sets[i], err = capabilitySet(list); err != nil {
				return err
			}
		}
		for n := range uint64(unix.CAP_LAST_CAP + 1) {
			if bounding&(1<<n) == 0 {
				c.p.Call("drop capability", unix.SYS_PRCTL, shim.Int(unix.PR_CAPBSET_DROP), shim.Int(n)).Except(uint16(unix.EINVAL))
			}
		}
		c.p.Call("keep capabilities", unix.SYS_PRCTL, shim.Int(unix.PR_SET_KEEPCAPS), shim.Int(1))
	}
	c.setUser(user.UID, user.GID, user.AdditionalGids)
	if caps != nil {
		c.p.Call("set capabilities", unix.SYS_CAPSET, capabilityHeader(c.p), capabilityData(c.p, sets[0], sets[1], sets[2]))
		for n := range uint64(unix.CAP_LAST_CAP + 1) {
			if sets[3]&(1<<n) != 0 {
				c.p.Call("raise capability", unix.SYS_PRCTL, shim.Int(unix.PR_CAP_AMBIENT), shim.Int(unix.PR_CAP_AMBIENT_RAISE), shim.Int(n), shim.Int(0), shim.Int(0))
			}
		}
	}
	mask := uint32(0o022)
	if user.Umask != nil {
		mask = *user.Umask
	}
	c.p.Call("umask", unix.SYS_UMASK, shim.Int(mask))
	return nil
}

func (c *compiler) setUser(uid, gid uint32, groups []uint32) {
	var list []byte
	for _, g := range groups {
		list = binary.LittleEndian.AppendUint32(list, g)
	}
	c.p.Call("set groups", unix.SYS_SETGROUPS, shim.Int(len(groups)), c.p.Bytes(list))
	c.p.Call("set group", unix.SYS_SETRESGID, shim.Int(gid), shim.Int(gid), shim.Int(gid))
	c.p.Call("set user", unix.SYS_SETRESUID, shim.Int(uid), shim.Int(uid), shim.Int(uid))
}

// exec looks for the command as execvp would.
func (c *compiler) exec(args, env []string) {
	argv, envp := c.p.Strings(args), c.p.Strings(env)
	if strings.Contains(args[0], "/") {
		c.p.Call("exec "+args[0], unix.SYS_EXECVE, c.p.String(args[0]), argv, envp)
		return
	}
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok && value != "" {
			search = value
		}
	}
	dirs := strings.Split(search, ":")
	for i, dir := range dirs {
		op := c.p.Call("exec "+args[0], unix.SYS_EXECVE, c.p.String(path.Join(dir, args[0])), argv, envp)
		if i < len(dirs)-1 {
			op.Optional()
		}
	}
}

func capabilitySet(names []string) (set uint64, err error) {
	for _, name := range names {
		n := slices.Index(capabilities, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
		if n < 0 {
			return 0, fmt.Errorf("unknown capability %s", name)
		}
		set |= 1 << n
	}
	return set, nil
}

// capabilities in the order of their numbers.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

var rlimits = map[string]int{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5, "RLIMIT_NPROC": 6,
	"RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10, "RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12,
	"RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}
