package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/sandboxes"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The shim gets a new user namespace as givenFD, and keeps it, or the one that it joins, as
// userFD.
const (
	givenFD = 7
	userFD  = 101
)

// identities is the user namespace of a container. The shim builds the container outside
// of it, as the machine's root, and enters it before it becomes the init or the command:
// so the other namespaces, and every mount, belong to the machine.
type identities struct {
	path  string // of a namespace to join; empty when the launcher made it
	first uint32 // id on the machine of the container's root
}

// identitiesOf reads them from a specification; nil for a container in the machine's.
func identitiesOf(spec *specs.Spec) (*identities, error) {
	own, err := launcher.UserNamespaceOf(spec)
	if own == nil || err != nil {
		return nil, err
	}
	return &identities{path: own.Path, first: own.First()}, nil
}

// identitiesIn finds the user namespace of a process; nil for the machine's.
func identitiesIn(pid int) (*identities, error) {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return nil, err
	}
	out := &identities{path: fmt.Sprintf("/proc/%d/ns/user", pid)}
	theirs, err := os.Readlink(out.path)
	if err != nil || theirs == own {
		return nil, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return nil, err
	}
	var inside uint32
	if _, err := fmt.Sscan(string(b), &inside, &out.first); err != nil {
		return nil, fmt.Errorf("ids of process %d: %w", pid, err)
	}
	return out, nil
}

// newUserNamespace makes the user namespace of a container.
func (l *Launcher) newUserNamespace(mappings []specs.LinuxIDMapping) (*os.File, error) {
	l.forks.RLock()
	defer l.forks.RUnlock()
	return UserNamespace(l.exeFile, mappings)
}

// UserNamespace makes a user namespace with a process in it that does nothing, and keeps
// only the namespace. exe is the shim.
func UserNamespace(exe *os.File, mappings []specs.LinuxIDMapping) (*os.File, error) {
	wait, done, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	defer done.Close()
	p := shim.New(errorFD)
	p.Call("wait", unix.SYS_READ, shim.Int(0), p.Words(0), shim.Int(1)).Optional()
	p.Call("end", unix.SYS_EXIT_GROUP, shim.Int(0))
	code, err := programFile(p)
	if err != nil {
		return nil, err
	}
	defer code.Close()
	ids := make([]syscall.SysProcIDMap, 0, len(mappings))
	for _, m := range mappings {
		ids = append(ids, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true, Setsid: true}
	in, program := wait.Fd(), code.Fd()
	pid, err := syscall.ForkExec(shimPath, []string{"agora-users"}, &syscall.ProcAttr{Dir: "/", Env: []string{}, Sys: attr,
		Files: []uintptr{in, program, program, program, program, program, exe.Fd()}})
	if errors.Is(err, unix.ENOSPC) {
		return nil, errors.New("new user namespace: the machine allows no more; raise /proc/sys/user/max_user_namespaces")
	}
	if err != nil {
		return nil, fmt.Errorf("new user namespace: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	done.Close()
	_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
	if err != nil {
		return nil, fmt.Errorf("new user namespace: %w", err)
	}
	return f, nil
}

// holdUsers opens the user namespace. One to join is named by a path of the machine's /proc,
// so it comes before the others are joined.
func (c *compiler) holdUsers() {
	if c.users == nil {
		return
	}
	from := shim.Int(givenFD)
	if c.users.path != "" {
		fd := c.p.Reg()
		c.p.Call("open user namespace", unix.SYS_OPEN, c.p.String(c.users.path), shim.Int(unix.O_RDONLY|unix.O_CLOEXEC)).To(fd)
		from = fd.Arg()
	}
	c.p.Call("hold user namespace", unix.SYS_DUP3, from, shim.Int(userFD), shim.Int(unix.O_CLOEXEC))
	c.p.Call("close user namespace", unix.SYS_CLOSE, from)
}

func (c *compiler) ownFiles() error {
	if c.users == nil {
		return nil
	}
	return OwnFiles(c.p, c.users.first)
}

// OwnFiles has what is made from here on belong to the container's root, the capabilities
// staying those of the machine's: a file on an id-mapped mount can only be made by somebody
// who has an id in it.
func OwnFiles(p *shim.Program, first uint32) error {
	header, held := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capget(&header, &held[0]); err != nil {
		return fmt.Errorf("capabilities of the launcher: %w", err)
	}
	permitted := uint64(held[0].Permitted) | uint64(held[1].Permitted)<<32
	p.Call("files of the container's group", unix.SYS_SETFSGID, shim.Int(first))
	p.Call("files of the container's root", unix.SYS_SETFSUID, shim.Int(first))
	p.Call("keep capabilities", unix.SYS_CAPSET, capabilityHeader(p), capabilityData(p, permitted, permitted, 0))
	return nil
}

// enterUsers makes the process the root of its container's user namespace. What the
// machine's root must do has been done before.
func (c *compiler) enterUsers() {
	if c.users == nil {
		return
	}
	c.p.Call("join user namespace", unix.SYS_SETNS, shim.Int(userFD), shim.Int(unix.CLONE_NEWUSER))
	c.p.Call("set groups", unix.SYS_SETGROUPS, shim.Int(0), shim.Int(0))
	c.p.Call("set group", unix.SYS_SETRESGID, shim.Int(0), shim.Int(0), shim.Int(0))
	c.p.Call("set user", unix.SYS_SETRESUID, shim.Int(0), shim.Int(0), shim.Int(0))
	c.p.Call("hide init", unix.SYS_PRCTL, shim.Int(unix.PR_SET_DUMPABLE), shim.Int(0))
}

// takeOutput opens the files of the output once more, by an id-mapped mount: the command can
// then open them again by /dev/stdout, as programs of images do.
func (c *compiler) takeOutput() {
	if c.users == nil || c.pause || c.spec.Process.Terminal {
		return
	}
	for i, file := range c.output {
		if file == "" {
			continue
		}
		fd := c.p.Borrow()
		base, below := sandboxes.Split(filepath.Dir(file))
		tree := c.cloneTree(specs.Mount{Source: filepath.Join(below, filepath.Base(file)), Destination: file}, options{within: base})
		c.mapIDs(file, tree, 0)
		c.p.Call("hold "+file, unix.SYS_DUP3, tree.Arg(), shim.Int(mountFD), shim.Int(unix.O_CLOEXEC))
		c.p.Call("open "+file, unix.SYS_OPEN, c.p.String("/proc/self/fd/"+strconv.Itoa(mountFD)), shim.Int(unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC)).To(fd)
		c.p.Call("take "+file, unix.SYS_DUP3, fd.Arg(), shim.Int(i+1), shim.Int(0))
		for _, each := range []shim.Arg{fd.Arg(), tree.Arg(), shim.Int(mountFD)} {
			c.p.Call("close "+file, unix.SYS_CLOSE, each)
		}
		c.p.Free(fd)
		c.p.Free(tree)
	}
}

// takeHidden takes the sources of a container on the machine's root before a mount covers
// them.
func (c *compiler) takeHidden() {
	if c.users == nil || !c.hostRoot() {
		return
	}
	for i, m := range c.spec.Mounts {
		o := parseOptions(m.Options)
		if _, taken := c.early[i]; taken || m.Type != "bind" && !o.bind {
			continue
		}
		if c.early == nil {
			c.early = map[int]shim.Reg{}
		}
		c.early[i] = c.cloneTree(m, o)
	}
}

func (c *compiler) mapIDs(what string, tree shim.Reg, flags uint64) {
	MapIDs(c.p, what, tree, flags, userFD)
}

// MapIDs makes the files of a mount that is not attached yet show the container the owners
// that they have on disk. users is the descriptor of its user namespace.
func MapIDs(p *shim.Program, what string, tree shim.Reg, flags uint64, users uint64) {
	p.Call("map the ids of "+what+" for the user namespace (its file system must allow id-mapped mounts)", unix.SYS_MOUNT_SETATTR,
		tree.Arg(), p.String(""), shim.Int(unix.AT_EMPTY_PATH|flags), p.Words(unix.MOUNT_ATTR_IDMAP, 0, 0, users), shim.Int(32))
}

// mapLayers covers the layers of an overlay with id-mapped mounts of themselves, in this
// mount namespace alone.
func (c *compiler) mapLayers(layers []string) {
	if c.users == nil {
		return
	}
	for _, layer := range layers {
		if slices.Contains(c.mapped, layer) {
			continue
		}
		c.mapped = append(c.mapped, layer)
		tree, at := c.p.Borrow(), c.p.Borrow()
		c.p.Call("open layer "+layer, unix.SYS_OPEN_TREE, noFile, c.p.String(layer), shim.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).To(tree)
		c.mapIDs("layer "+layer, tree, 0)
		c.p.Call("open layer "+layer, unix.SYS_OPEN, c.p.String(layer), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(at)
		c.move("cover layer "+layer, tree, at)
		c.close(at)
		c.p.Free(at)
	}
}

// layersOf are the lower directories that the options of an overlay name.
func layersOf(data []string) []string {
	for _, option := range data {
		if list, ok := strings.CutPrefix(option, "lowerdir="); ok {
			return strings.Split(list, ":")
		}
	}
	return nil
}

// shiftIDs turns the ids in the options of a file system of the kernel into those that the
// machine has for them.
func (c *compiler) shiftIDs(data []string) []string {
	if c.users == nil {
		return data
	}
	out := slices.Clone(data)
	for i, option := range data {
		out[i] = ShiftID(option, c.users.first)
	}
	return out
}

// ShiftID does it for one option; first is the machine's id of the container's root.
func ShiftID(option string, first uint32) string {
	for _, name := range []string{"uid=", "gid="} {
		if value, ok := strings.CutPrefix(option, name); ok {
			if id, err := strconv.ParseUint(value, 10, 31); err == nil {
				return name + strconv.FormatUint(id+uint64(first), 10)
			}
		}
	}
	return option
}

// giveTerminal makes the command's user the owner of its terminal.
func (c *compiler) giveTerminal() {
	if c.users == nil {
		return
	}
	user := c.spec.Process.User
	c.p.Call("give terminal", unix.SYS_FCHOWN, shim.Int(0), shim.Int(c.users.first+user.UID), shim.Int(c.users.first+5))
}

// sysctls writes the parameters of the kernel that belong to the container's namespaces.
func (c *compiler) sysctls() {
	fd := c.p.Reg()
	for _, name := range slices.Sorted(maps.Keys(c.spec.Linux.Sysctl)) {
		file, value := path.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")), c.spec.Linux.Sysctl[name]
		c.p.Call("open "+file, unix.SYS_OPEN, c.p.String(file), shim.Int(unix.O_WRONLY|unix.O_CLOEXEC)).To(fd)
		c.p.Call("write "+file, unix.SYS_WRITE, fd.Arg(), c.p.String(value), shim.Int(len(value)))
		c.p.Call("close "+file, unix.SYS_CLOSE, fd.Arg())
	}
}

func capabilityHeader(p *shim.Program) shim.Arg {
	return p.Bytes(binary.LittleEndian.AppendUint64(nil, unix.LINUX_CAPABILITY_VERSION_3))
}

func capabilityData(p *shim.Program, effective, permitted, inheritable uint64) shim.Arg {
	var data []byte
	for _, shift := range []int{0, 32} {
		for _, set := range []uint64{effective, permitted, inheritable} {
			data = binary.LittleEndian.AppendUint32(data, uint32(set>>shift))
		}
	}
	return p.Bytes(data)
}
