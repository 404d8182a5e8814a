package launchertest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agora.dev/agora/agent/launcher/template"
	"golang.org/x/sys/unix"
)

// probe is what looks for ways out of a container, from inside. Calls have arguments that
// do no harm where they get through: the error then says so.
type probe struct {
	made int
	out  io.Writer
}

func newProbe() *probe { return &probe{out: os.Stdout} }

func (p *probe) run() {
	if os.Getenv(probeDevices) != "" {
		p.devices()
		fmt.Fprintln(p.out, probeFinished+strconv.Itoa(p.made))
		return
	}
	p.files()
	p.privileges()
	p.spaces()
	p.users()
	p.masks()
	p.writes()
	p.deviceNodes()
	p.calls()
	p.neighbours()
	p.leaveRoot()
	fmt.Fprintln(p.out, probeFinished+strconv.Itoa(p.made))
}

// check reports what is not ok.
func (p *probe) check(ok bool, format string, args ...any) {
	p.made++
	if !ok {
		fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// refused wants an error of those that a wall gives.
func (p *probe) refused(what string, err error) {
	wall := false
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EROFS, unix.ENOENT, unix.ESRCH, unix.ENXIO, unix.EAFNOSUPPORT} {
		wall = wall || errors.Is(err, e)
	}
	p.check(wall, "%s is not refused: %v", what, err)
}

// files: nothing is open but the three, and what this program's own runtime has.
func (p *probe) files() {
	names, err := os.ReadDir("/proc/self/fd")
	p.check(err == nil && len(names) >= 3, "list of files: %v, %v", names, err)
	for _, n := range names {
		number, _ := strconv.Atoi(n.Name())
		to, err := os.Readlink("/proc/self/fd/" + n.Name())
		own := strings.HasPrefix(to, "anon_inode:[event") || strings.HasSuffix(to, "/fd") || err != nil
		p.check(number < 3 || own, "file %d is %s", number, to)
	}
	for _, name := range []string{"fd/5", "mem", "environ", "exe", "root", "cwd", "maps", "ns/mnt"} {
		f, err := os.Open("/proc/1/" + name)
		if err == nil {
			f.Close()
		}
		p.refused("open of init's "+name, err)
	}
}

func (p *probe) privileges() {
	status, err := os.ReadFile("/proc/self/status")
	p.check(err == nil, "status: %v", err)
	p.check(strings.Contains(string(status), "NoNewPrivs:\t1\n"), "no_new_privs is not set")
	p.check(strings.Contains(string(status), "Seccomp:\t2\n"), "system calls are not filtered")
	var all uint64
	for line := range strings.Lines(string(status)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "Cap") {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			p.check(err == nil, "%s: %v", name, err)
			all |= set
		}
	}
	for number := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(granted, number) {
			p.check(all&(1<<number) == 0, "capability %d is in a set", number)
		}
	}
}

// granted are the numbers of template.Capabilities.
var granted = []int{unix.CAP_AUDIT_WRITE, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_SETFCAP, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_SETUID, unix.CAP_SYS_CHROOT}

func (p *probe) spaces() {
	for _, kind := range walled {
		here, err := os.Readlink("/proc/self/ns/" + kind)
		p.check(err == nil && here != os.Getenv(probeSpaces+kind), "namespace %s is the host's: %s, %v", kind, here, err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	p.check(err == nil, "cgroup: %v", err)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		p.check(len(parts) == 3 && !strings.Contains(parts[2], "agora"), "the host's name of a cgroup is seen: %s", line)
	}
}

// users: in a user namespace root is somebody else on the machine, and so is whoever it
// becomes; nobody of the machine can be become.
func (p *probe) users() {
	first := os.Getenv(probeUsers)
	if first == "" {
		return
	}
	here, err := os.Readlink("/proc/self/ns/user")
	p.check(err == nil && here != os.Getenv(probeSpaces+"user"), "namespace user is the host's: %s, %v", here, err)
	for _, file := range []string{"uid_map", "gid_map"} {
		b, err := os.ReadFile("/proc/self/" + file)
		p.check(err == nil && strings.Join(strings.Fields(string(b)), " ") == "0 "+first+" 65536", "%s: %q, %v", file, b, err)
		err = os.WriteFile("/proc/self/"+file, []byte("0 0 1"), 0)
		p.refused("another "+file, err)
	}
	host, _ := strconv.Atoi(first)
	for _, id := range []int{65536, 1 << 24, host, 1<<31 - 1} {
		p.check(errors.Is(unix.Setreuid(-1, id), unix.EINVAL), "user %d can be become", id)
		p.check(errors.Is(unix.Setregid(-1, id), unix.EINVAL), "group %d can be become", id)
		p.check(os.Chown("/tmp", id, -1) != nil, "a file can be given to user %d", id)
	}
}

// masks: what is hidden is empty or missing, what is read only has no writer.
func (p *probe) masks() {
	for _, path := range template.MaskedPaths() {
		info, err := os.Stat(path)
		if err != nil {
			p.check(errors.Is(err, fs.ErrNotExist), "masked %s: %v", path, err)
			continue
		}
		if info.IsDir() {
			list, err := os.ReadDir(path)
			p.check(err == nil && len(list) == 0, "masked %s: %d entries, %v", path, len(list), err)
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			p.check(false, "masked %s: %v", path, err)
			continue
		}
		n, _ := f.Read(make([]byte, 16))
		f.Close()
		p.check(n <= 0, "masked %s says something", path)
	}
	for _, path := range append(template.ReadonlyPaths(), "/sys") {
		var stat unix.Statfs_t
		err := unix.Statfs(path, &stat)
		p.check(errors.Is(err, unix.ENOENT) || err == nil && stat.Flags&unix.ST_RDONLY != 0, "%s can be written: %v", path, err)
	}
}

// writes opens, and does not write, what would have the host run something or change.
func (p *probe) writes() {
	for _, path := range []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sys/kernel/sysrq", "/proc/sys/kernel/panic",
		"/proc/sys/kernel/randomize_va_space", "/proc/sys/vm/drop_caches", "/proc/sys/vm/overcommit_memory", "/proc/sys/fs/file-max", "/proc/sys/kernel/pid_max",
		"/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/bus/pci/devices", "/proc/kcore",
		"/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/cgroup.procs",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/pids.max",
		"/dev/mem", "/dev/kmsg", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/loop0", "/dev/vda", "/dev/sda",
	} {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		if path == "/proc/kcore" && err == nil {
			continue // masked by /dev/null, which takes everything
		}
		p.refused("open of "+path+" for writing", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	p.check(err == nil && !strings.Contains(string(mounts), " - cgroup"), "a cgroup file system is mounted: %v", err)
}

func (p *probe) deviceNodes() {
	for _, d := range []struct {
		kind, major, minor uint32
	}{{unix.S_IFBLK, 8, 0}, {unix.S_IFBLK, 7, 0}, {unix.S_IFBLK, 253, 0}, {unix.S_IFBLK, 259, 0}, {unix.S_IFCHR, 1, 1}, {unix.S_IFCHR, 1, 2}, {unix.S_IFCHR, 1, 11}, {unix.S_IFCHR, 10, 232}, {unix.S_IFCHR, 10, 229}, {unix.S_IFCHR, 4, 1}} {
		err := unix.Mknod("/tmp/node", d.kind|0o600, int(unix.Mkdev(d.major, d.minor)))
		p.refused(fmt.Sprintf("device node %d:%d", d.major, d.minor), err)
	}
	_ = filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			p.check(d.Type()&fs.ModeDevice == 0 || d.Type()&fs.ModeCharDevice != 0, "%s is a block device", path)
		}
		return nil
	})
}

// neighbours: nobody outside can be seen or signalled.
func (p *probe) neighbours() {
	host, err := strconv.Atoi(os.Getenv(probePID))
	p.check(err == nil && host > 0, "pid of the host: %v", err)
	list, _ := filepath.Glob("/proc/[0-9]*")
	p.check(len(list) == 2, "processes are seen: %v", list)
	if host > 100 { // a number that nobody in here has
		p.refused("signal to a process of the host", syscall.Kill(host, 0))
		p.refused("priority of a process of the host", syscall.Setpriority(syscall.PRIO_PROCESS, host, 19))
	}
	p.refused("a better priority", syscall.Setpriority(syscall.PRIO_PROCESS, 0, -20))
	p.refused("attaching to init", syscall.PtraceAttach(1))
	word := make([]byte, 8)
	local, remote := []unix.Iovec{{Base: &word[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}
	_, err = unix.ProcessVMReadv(1, local, remote, 0)
	p.refused("reading init's memory", err)
	_, err = os.Stat(os.Getenv(probeOutside))
	p.refused("a file of another container", err)
}

// leaveRoot is the old way out of a chroot. It comes last: no path means the same after it.
func (p *probe) leaveRoot() {
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	p.check(err == nil, "open /: %v", err)
	err = errors.Join(os.MkdirAll("/tmp/cell", 0o755), unix.Chroot("/tmp/cell"), unix.Fchdir(root))
	for range 64 {
		err = errors.Join(err, unix.Chdir(".."))
	}
	p.check(err == nil, "walk up: %v", err)
	_, err = os.Stat("." + os.Getenv(probeOutside))
	p.refused("a file above the root", err)
}
