package native

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/agent/launcher/shim"
	"agora.dev/agora/agent/launchtrace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Within is the prefix of a mount option that names a host directory; the mount's
// source is then a path below it, resolved inside it whatever links it holds.
const Within = "x-within="

// Inside is the prefix of a mount option that names a host directory; the mount's
// destination is then a path below it, resolved inside it whatever links it holds. It is
// for containers on the host's root.
const Inside = "x-inside="

// fileSystem makes the container's view: root, mounts, devices, masks. Every path in
// the container is resolved inside its root and then used by descriptor.
func (c *compiler) fileSystem() error {
	slash := c.p.String("/")
	c.shareEarly()
	c.p.Call("keep mounts from the host", unix.SYS_MOUNT, shim.Int(0), slash, shim.Int(0), shim.Int(unix.MS_REC|unix.MS_SLAVE), shim.Int(0))
	c.takeOutput()
	c.takeHidden()
	if err := c.mountRoot(); err != nil {
		return err
	}
	c.mark(launchtrace.RootFS)
	for i, m := range c.spec.Mounts {
		if err := c.mount(i, m); err != nil {
			return err
		}
	}
	c.mark(launchtrace.Mounts)
	if c.hostRoot() {
		return nil
	}
	c.devices()
	c.mark(launchtrace.Devices)
	for _, p := range c.spec.Linux.ReadonlyPaths {
		c.readonly(p)
	}
	for _, p := range c.spec.Linux.MaskedPaths {
		c.mask(p)
	}
	c.mark(launchtrace.Masks)
	c.pivot()
	c.mark(launchtrace.Pivot)
	return nil
}

func (c *compiler) mountRoot() error {
	where := "/"
	if !c.hostRoot() {
		where = c.spec.Root.Path
		at := c.p.String(where)
		if c.overlay != nil {
			data, err := c.overlay.Data()
			if err != nil {
				return err
			}
			c.mapLayers(c.overlay.Lower)
			c.p.Call("mount overlay", unix.SYS_MOUNT, c.p.String("overlay"), at, c.p.String("overlay"), shim.Int(0), c.p.String(data))
		} else {
			c.p.Call("mount root", unix.SYS_MOUNT, at, at, shim.Int(0), shim.Int(unix.MS_BIND|unix.MS_REC), shim.Int(0))
		}
	}
	c.p.Call("open root "+where, unix.SYS_OPEN, c.p.String(where), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(c.root)
	return nil
}

func (c *compiler) pivot() {
	dot, slash := c.p.String("."), c.p.String("/")
	if c.spec.Root.Readonly {
		c.p.Call("make root read only", unix.SYS_MOUNT_SETATTR, c.root.Arg(), c.p.String(""), shim.Int(unix.AT_EMPTY_PATH),
			c.p.Words(unix.MOUNT_ATTR_RDONLY, 0, 0, 0), shim.Int(32))
	}
	c.p.Call("enter root", unix.SYS_FCHDIR, c.root.Arg())
	c.p.Call("pivot_root", unix.SYS_PIVOT_ROOT, dot, dot)
	c.p.Call("leave host root", unix.SYS_UMOUNT2, dot, shim.Int(unix.MNT_DETACH))
	c.p.Call("change to root", unix.SYS_CHDIR, slash)
}

// open resolves a path of the container inside its root.
func (c *compiler) open(name string, from shim.Reg, where string, flags uint64) (*shim.Op, shim.Reg) {
	fd := c.p.Borrow()
	how := c.p.Words(flags|unix.O_CLOEXEC, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	return c.p.Call(name, unix.SYS_OPENAT2, from.Arg(), c.p.String(where), how, shim.Int(24)).To(fd), fd
}

func (c *compiler) close(fd shim.Reg) { c.p.Call("close", unix.SYS_CLOSE, fd.Arg()) }

// target opens a mount point in the container, made if it is missing.
func (c *compiler) target(where string, file bool) shim.Reg { return c.targetIn(c.root, where, file) }

// place opens the mount point of a mount.
func (c *compiler) place(m specs.Mount, o options, file bool) shim.Reg {
	if o.inside == "" {
		return c.target(m.Destination, file)
	}
	_, base := c.open("open "+o.inside, c.root, o.inside, unix.O_PATH|unix.O_DIRECTORY)
	at := c.targetIn(base, m.Destination, file)
	c.close(base)
	c.p.Free(base)
	return at
}

// targetIn resolves in a directory, which no link leads out of.
func (c *compiler) targetIn(root shim.Reg, where string, file bool) shim.Reg {
	parts := strings.Split(strings.Trim(path.Clean("/"+where), "/"), "/")
	_, at := c.open("open root", root, ".", unix.O_PATH|unix.O_DIRECTORY)
	for i, part := range parts {
		if part == "" {
			continue
		}
		prefix := strings.Join(parts[:i+1], "/")
		last := file && i == len(parts)-1
		if last {
			made := c.p.Borrow()
			c.p.Call("make "+prefix, unix.SYS_OPENAT, at.Arg(), c.p.String(part),
				shim.Int(unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC), shim.Int(0o644)).To(made).Optional()
			c.p.Call("close", unix.SYS_CLOSE, made.Arg()).Optional()
			c.p.Free(made)
		} else {
			c.p.Call("make "+prefix, unix.SYS_MKDIRAT, at.Arg(), c.p.String(part), shim.Int(0o755)).Optional()
		}
		c.close(at)
		c.p.Free(at)
		flags := uint64(unix.O_PATH)
		if !last {
			flags |= unix.O_DIRECTORY
		}
		_, at = c.open("open /"+prefix, root, prefix, flags)
	}
	return at
}

func (c *compiler) mount(index int, m specs.Mount) error {
	o := parseOptions(m.Options)
	if m.Type == "bind" || o.bind {
		return c.bind(index, m, o)
	}
	if m.Type == "overlay" {
		c.mapLayers(layersOf(o.data))
	}
	at := c.place(m, o, false)
	c.p.Call("hold "+m.Destination, unix.SYS_DUP3, at.Arg(), shim.Int(mountFD), shim.Int(unix.O_CLOEXEC))
	source := m.Source
	if source == "" {
		source = m.Type
	}
	c.p.Call("mount "+m.Type+" on "+m.Destination, unix.SYS_MOUNT, c.p.String(source), c.p.String("/proc/self/fd/"+strconv.Itoa(mountFD)),
		c.p.String(m.Type), shim.Int(o.flags), c.p.String(strings.Join(c.shiftIDs(o.data), ",")))
	c.p.Call("close", unix.SYS_CLOSE, shim.Int(mountFD))
	c.close(at)
	c.p.Free(at)
	return nil
}

// shareEarly takes the mounts that propagate to the host as well, before this namespace
// stops being its peer.
func (c *compiler) shareEarly() {
	for i, m := range c.spec.Mounts {
		if o := parseOptions(m.Options); (m.Type == "bind" || o.bind) && o.propagation == unix.MS_SHARED {
			if c.early == nil {
				c.early = map[int]shim.Reg{}
			}
			c.early[i] = c.cloneTree(m, o)
		}
	}
}

func (c *compiler) bind(index int, m specs.Mount, o options) error {
	host := m.Source
	if o.within != "" {
		host = path.Join(o.within, path.Join("/", m.Source))
	}
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", m.Source, m.Destination, err)
	}
	tree, early := c.early[index]
	if !early {
		tree = c.cloneTree(m, o)
	}
	name := "bind " + m.Source + " to " + m.Destination
	if o.attr != 0 || o.propagation != 0 {
		c.p.Call(name, unix.SYS_MOUNT_SETATTR, tree.Arg(), c.p.String(""), shim.Int(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE),
			c.p.Words(o.attr, 0, o.propagation, 0), shim.Int(32))
	}
	if c.users != nil && len(m.UIDMappings) > 0 && !slices.Contains(c.mapped, host) {
		c.mapIDs(m.Source, tree, unix.AT_RECURSIVE)
	}
	at := c.place(m, o, !info.IsDir())
	c.move(name, tree, at)
	c.close(at)
	c.p.Free(at)
	return nil
}

// cloneTree takes a copy of the source's mounts.
func (c *compiler) cloneTree(m specs.Mount, o options) shim.Reg {
	tree := c.p.Borrow()
	flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
	name := "bind " + m.Source + " to " + m.Destination
	if o.within != "" {
		c.p.Call("open "+o.within, unix.SYS_OPEN, c.p.String(o.within), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(tree)
		_, inside := c.open("open "+m.Source, tree, path.Join("/", m.Source), unix.O_PATH)
		c.close(tree)
		c.p.Call(name, unix.SYS_OPEN_TREE, inside.Arg(), c.p.String(""), shim.Int(flags|unix.AT_EMPTY_PATH)).To(tree)
		c.close(inside)
		c.p.Free(inside)
	} else {
		c.p.Call(name, unix.SYS_OPEN_TREE, noFile, c.p.String(m.Source), shim.Int(flags)).To(tree)
	}
	return tree
}

// move attaches a detached mount and closes it.
func (c *compiler) move(name string, tree, at shim.Reg) *shim.Op {
	empty := c.p.String("")
	op := c.p.Call(name, unix.SYS_MOVE_MOUNT, tree.Arg(), empty, at.Arg(), empty, shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	c.close(tree)
	c.p.Free(tree)
	return op
}

func (c *compiler) readonly(where string) {
	done := &shim.Label{}
	op, at := c.open("open "+where, c.root, where, unix.O_PATH)
	op.Optional()
	c.p.JumpNegative(at, done)
	tree := c.p.Borrow()
	c.p.Call("clone "+where, unix.SYS_OPEN_TREE, at.Arg(), c.p.String(""),
		shim.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)).To(tree)
	c.p.Call("make "+where+" read only", unix.SYS_MOUNT_SETATTR, tree.Arg(), c.p.String(""), shim.Int(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE),
		c.p.Words(unix.MOUNT_ATTR_RDONLY, 0, 0, 0), shim.Int(32))
	c.move("make "+where+" read only", tree, at)
	c.close(at)
	c.p.Set(done)
	c.p.Free(at)
}

// mask hides a file behind the host's /dev/null, a directory behind an empty one.
func (c *compiler) mask(where string) {
	done, isDir, covered := &shim.Label{}, &shim.Label{}, &shim.Label{}
	op, at := c.open("open "+where, c.root, where, unix.O_PATH)
	op.Optional()
	c.p.JumpNegative(at, done)
	tree, moved := c.p.Borrow(), c.p.Borrow()
	empty := c.p.String("")
	c.p.Call("null", unix.SYS_OPEN_TREE, noFile, c.p.String("/dev/null"), shim.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).To(tree)
	c.p.Call("mask "+where, unix.SYS_MOVE_MOUNT, tree.Arg(), empty, at.Arg(), empty,
		shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)).To(moved).Optional()
	c.p.Call("close", unix.SYS_CLOSE, tree.Arg())
	c.p.JumpNegative(moved, isDir)
	c.p.Jump(covered)
	c.p.Set(isDir)
	c.p.Call("hold "+where, unix.SYS_DUP3, at.Arg(), shim.Int(mountFD), shim.Int(unix.O_CLOEXEC))
	c.p.Call("mask "+where, unix.SYS_MOUNT, c.p.String("tmpfs"), c.p.String("/proc/self/fd/"+strconv.Itoa(mountFD)), c.p.String("tmpfs"),
		shim.Int(unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC), c.p.String("size=0,nr_inodes=1"))
	c.p.Call("close", unix.SYS_CLOSE, shim.Int(mountFD))
	c.p.Set(covered)
	c.close(at)
	c.p.Set(done)
	for _, r := range []shim.Reg{tree, moved, at} {
		c.p.Free(r)
	}
}

type options struct {
	flags, attr, propagation uint64
	bind                     bool
	within, inside           string
	data                     []string
}

var mountFlags = map[string][2]uint64{
	"ro": {unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY}, "nosuid": {unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
	"nodev": {unix.MS_NODEV, unix.MOUNT_ATTR_NODEV}, "noexec": {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	"noatime": {unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME}, "relatime": {unix.MS_RELATIME, 0}, "strictatime": {unix.MS_STRICTATIME, 0},
	"rw": {}, "sync": {unix.MS_SYNCHRONOUS, 0},
}

var propagations = map[string]uint64{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED,
}

func parseOptions(list []string) (o options) {
	for _, option := range list {
		if flags, ok := mountFlags[option]; ok {
			o.flags |= flags[0]
			o.attr |= flags[1]
		} else if propagation, ok := propagations[option]; ok {
			o.propagation = propagation
		} else if option == "bind" || option == "rbind" {
			o.bind = true
		} else if dir, ok := strings.CutPrefix(option, Within); ok {
			o.within = dir
		} else if dir, ok := strings.CutPrefix(option, Inside); ok {
			o.inside = dir
		} else {
			o.data = append(o.data, option)
		}
	}
	return o
}
