package native

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/launchtrace"
	"agora.dev/agora/internal/autogroup"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Descriptors of the shim beside stdin, stdout, stderr and its program.
const (
	errorFD  = 4
	statusFD = 5
	mountFD  = 100 // where a mount point is kept while it is named through /proc
)

// job is all that one program is made of.
type job struct {
	spec    *specs.Spec
	overlay *launcher.Overlay
	pause   bool
	// tasks are the v1 files into which the shim writes 0; into cpuTasks, if any, when the
	// container is complete.
	tasks    []string
	cpuTasks string
	// enter is the pid whose namespaces are joined, for a process that enters.
	enter int
	// users is its user namespace; nil for the machine's. output are the files behind stdout
	// and stderr.
	users  *identities
	output [2]string
	// filters compiles the filter of system calls.
	filters *seccomp.Cache
	// ignored are the signals that the launcher ignores.
	ignored uint64
	// times, when set, are to be measured.
	times *times
}

// compiler turns a job into a program, in the order in which the calls are made.
type compiler struct {
	job
	p      *shim.Program
	root   shim.Reg
	cpu    shim.Reg // cpuTasks, open
	forked bool
	// early are mounts that were taken before others, by their place in the list.
	early map[int]shim.Reg
	// mapped are the layers that have been covered by id-mapped mounts.
	mapped []string
}

var noFile = shim.Int(unix.AT_FDCWD)

func compile(j job) (*shim.Program, error) {
	c := &compiler{job: j, p: shim.New(errorFD)}
	c.root = c.p.Reg()
	c.keepTimes()
	c.prologue()
	c.holdUsers()
	if j.enter != 0 {
		c.enterNamespaces()
		c.mark(launchtrace.Join)
		c.fork()
		return c.p, c.command()
	}
	early := c.joinNamespaces()
	c.mark(launchtrace.Join)
	if early && !j.pause {
		// The joined pid namespace holds for children only, and a procfs shows the
		// namespace of whoever mounts it.
		c.fork()
	}
	c.sysctls()
	if err := c.ownFiles(); err != nil {
		return nil, err
	}
	if err := c.fileSystem(); err != nil {
		return nil, err
	}
	c.hostname()
	if j.pause {
		c.joinCPU()
		c.enterUsers()
		c.handOverTimes()
		c.becomeInit(shim.None)
		return c.p, nil
	}
	c.makeCwd()
	if !c.forked {
		c.joinCPU()
		c.fork()
	}
	return c.p, c.command()
}

func (c *compiler) prologue() {
	c.mark(launchtrace.Clone)
	c.p.Call("block signals", unix.SYS_RT_SIGPROCMASK, shim.Int(unix.SIG_SETMASK), c.p.Words(^uint64(0)), shim.Int(0), shim.Int(8))
	c.p.Call("umask", unix.SYS_UMASK, shim.Int(0))
	fd := c.p.Reg()
	put := func(name, file, value string) {
		c.p.Call(name, unix.SYS_OPEN, c.p.String(file), shim.Int(unix.O_WRONLY|unix.O_CLOEXEC)).To(fd)
		c.p.Call(name, unix.SYS_WRITE, fd.Arg(), c.p.String(value), shim.Int(len(value)))
		c.p.Call(name, unix.SYS_CLOSE, fd.Arg())
	}
	for _, file := range c.tasks {
		put("join cgroup "+file, file, "0")
	}
	if c.joinsLate() {
		// Until then the shim, a session of its own, has the share of one.
		c.p.Call("go before others", unix.SYS_OPEN, c.p.String(autogroup.File), shim.Int(unix.O_WRONLY|unix.O_CLOEXEC)).To(fd).Optional()
		c.p.Call("go before others", unix.SYS_WRITE, fd.Arg(), c.p.String(autogroup.Nice), shim.Int(len(autogroup.Nice))).Optional()
		c.p.Call("go before others", unix.SYS_CLOSE, fd.Arg()).Optional()
		c.cpu = c.p.Reg()
		c.p.Call("open "+c.cpuTasks, unix.SYS_OPEN, c.p.String(c.cpuTasks), shim.Int(unix.O_WRONLY|unix.O_CLOEXEC)).To(c.cpu)
	} else if c.cpuTasks != "" {
		put("join cgroup "+c.cpuTasks, c.cpuTasks, "0")
	}
	if p := c.spec.Process; p != nil && p.OOMScoreAdj != nil {
		put("set oom_score_adj", "/proc/self/oom_score_adj", strconv.Itoa(*p.OOMScoreAdj))
	}
	// The init holds the file of the exit status: nobody in the container may reach
	// its descriptors through /proc.
	c.p.Call("hide init", unix.SYS_PRCTL, shim.Int(unix.PR_SET_DUMPABLE), shim.Int(0))
}

// joinsLate reports whether the cpu group is joined when the container is complete: one that has
// little CPU time beside busy neighbours would wait for its turn in each step before. A process
// that is forked early is in its group early.
func (c *compiler) joinsLate() bool {
	return c.cpuTasks != "" && c.enter == 0 && !slices.ContainsFunc(c.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.PIDNamespace && n.Path != ""
	})
}

func (c *compiler) joinCPU() {
	if c.joinsLate() {
		c.p.Call("join cgroup "+c.cpuTasks, unix.SYS_WRITE, c.cpu.Arg(), c.p.String("0"), shim.Int(1))
		c.p.Call("close cgroup", unix.SYS_CLOSE, c.cpu.Arg())
		c.ownCgroups()
	}
}

// ownCgroups makes the groups that the shim is in the only ones that are seen.
func (c *compiler) ownCgroups() {
	if slices.ContainsFunc(c.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" }) {
		c.p.Call("new cgroup namespace", unix.SYS_UNSHARE, shim.Int(unix.CLONE_NEWCGROUP))
	}
}

var namespaceFlags = map[specs.LinuxNamespaceType]uintptr{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.MountNamespace: unix.CLONE_NEWNS, specs.IPCNamespace: unix.CLONE_NEWIPC,
	specs.UTSNamespace: unix.CLONE_NEWUTS, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.CgroupNamespace: unix.CLONE_NEWCGROUP,
}

// cloneFlags are the namespaces that the shim is cloned into. A cgroup namespace is
// unshared later, once the shim is in its cgroups; a user namespace is entered last.
func cloneFlags(spec *specs.Spec) (flags uintptr) {
	for _, n := range spec.Linux.Namespaces {
		if n.Path == "" && n.Type != specs.CgroupNamespace {
			flags |= namespaceFlags[n.Type]
		}
	}
	return flags
}

// joinNamespaces enters those with a path; early tells that a pid namespace is among
// them.
func (c *compiler) joinNamespaces() (early bool) {
	fd := c.p.Reg()
	for _, n := range c.spec.Linux.Namespaces {
		if n.Type == specs.UserNamespace {
			continue
		}
		name := string(n.Type) + " namespace"
		if n.Path == "" {
			if n.Type == specs.CgroupNamespace && !c.joinsLate() {
				c.ownCgroups()
			}
			if n.Type == specs.NetworkNamespace {
				c.loopbackUp()
			}
			continue
		}
		c.p.Call("open "+name, unix.SYS_OPEN, c.p.String(n.Path), shim.Int(unix.O_RDONLY|unix.O_CLOEXEC)).To(fd)
		c.p.Call("join "+name, unix.SYS_SETNS, fd.Arg(), shim.Int(namespaceFlags[n.Type]))
		c.p.Call("close "+name, unix.SYS_CLOSE, fd.Arg())
		early = early || n.Type == specs.PIDNamespace
	}
	return early
}

func (c *compiler) loopbackUp() {
	fd := c.p.Reg()
	request := make([]byte, 40)
	copy(request, "lo")
	request[16] = unix.IFF_UP
	c.p.Call("socket", unix.SYS_SOCKET, shim.Int(unix.AF_INET), shim.Int(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), shim.Int(0)).To(fd)
	c.p.Call("loopback up", unix.SYS_IOCTL, fd.Arg(), shim.Int(unix.SIOCSIFFLAGS), c.p.Bytes(request))
	c.p.Call("close socket", unix.SYS_CLOSE, fd.Arg())
}

// enterNamespaces enters all of the container's at once; the kernel orders them.
func (c *compiler) enterNamespaces() {
	fd := c.p.Reg()
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP | unix.CLONE_NEWPID
	c.p.Call("open container", unix.SYS_PIDFD_OPEN, shim.Int(c.enter), shim.Int(0)).To(fd)
	c.p.Call("enter container", unix.SYS_SETNS, fd.Arg(), shim.Int(flags))
	c.p.Call("close container", unix.SYS_CLOSE, fd.Arg())
}

// fork makes the command's process; the parent becomes the init.
func (c *compiler) fork() {
	c.forked = true
	child, parent, on := c.p.Reg(), &shim.Label{}, &shim.Label{}
	c.p.Call("fork", unix.SYS_CLONE, shim.Int(unix.SIGCHLD), shim.Int(0), shim.Int(0), shim.Int(0), shim.Int(0)).To(child)
	c.p.JumpNonZero(child, parent)
	c.p.Jump(on)
	c.p.Set(parent)
	c.enterUsers()
	c.becomeInit(child)
	c.p.Set(on)
	c.p.Call("close status", unix.SYS_CLOSE, shim.Int(statusFD))
	c.mark(launchtrace.Fork)
}

// becomeInit closes all but the status, which tells the launcher that nothing is left
// to fail here, and stays.
func (c *compiler) becomeInit(child shim.Reg) {
	last := ^uint32(0)
	c.p.Call("close files", unix.SYS_CLOSE_RANGE, shim.Int(statusFD+1), shim.Int(last), shim.Int(0))
	c.p.Call("close files", unix.SYS_CLOSE_RANGE, shim.Int(0), shim.Int(statusFD-1), shim.Int(0))
	c.p.Init(child, statusFD)
}

func (c *compiler) hostname() {
	if name := c.spec.Hostname; name != "" {
		c.p.Call("set hostname", unix.SYS_SETHOSTNAME, c.p.String(name), shim.Int(len(name)))
	}
}

func (c *compiler) makeCwd() {
	dir := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+c.spec.Process.Cwd), "/"), "/") {
		dir += "/" + part
		c.p.Call("make "+dir, unix.SYS_MKDIR, c.p.String(dir), shim.Int(0o755)).Optional()
	}
}

func (c *compiler) hostRoot() bool { return c.spec.Root == nil || c.spec.Root.Path == "/" }
