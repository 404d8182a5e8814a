package oci

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// Descriptors of a scene for a container in a user namespace.
const (
	usersFD = reportFD + 1
	treeFD  = 200 // and those after it: mounts that are not attached yet
)

// carried is a mount on its way to a place that strangers can reach.
type carried struct {
	fd   uint64
	to   string
	file bool
}

// carrier collects them.
type carrier struct {
	*users
	p    *shim.Program
	next uint64
	// mapped are the layers that have been covered.
	mapped map[string]bool
}

// stage builds the container's root, hides the launcher's directory, and shows the root and
// what the runtime has to reach in its place. It makes files as the container's root.
func (s scene) stage(p *shim.Program) error {
	c := &carrier{users: s.users, p: p, next: treeFD, mapped: map[string]bool{}}
	joinNetwork(p, c.network)
	c.writeSysctls()
	if err := native.OwnFiles(p, c.first); err != nil {
		return err
	}
	show := []carried{c.clone(filepath.Join(c.dir, "containers"), false), c.clone(filepath.Join(c.dir, "runtime"), false)}
	if strings.HasPrefix(c.runtime, c.closed+"/") {
		show = append(show, c.clone(c.runtime, true))
	}
	root, err := c.takeRoot(s)
	if err != nil {
		return err
	}
	show = append(show, root)
	trees := c.takeMounts()
	c.takeOutput()
	c.cover()
	for _, one := range show {
		c.show(one)
	}
	for i, m := range c.mounts {
		c.attach(m, trees[i])
	}
	return nil
}

// joinNetwork has the runtime work in a container's network.
func joinNetwork(p *shim.Program, path string) {
	if path == "" {
		return
	}
	fd := p.Borrow()
	p.Call("open network namespace", unix.SYS_OPEN, p.String(path), shim.Int(unix.O_RDONLY|unix.O_CLOEXEC)).To(fd)
	p.Call("join network namespace", unix.SYS_SETNS, fd.Arg(), shim.Int(unix.CLONE_NEWNET))
	release(p, fd)
}

// writeSysctls sets the parameters of the network that was joined.
func (c *carrier) writeSysctls() {
	for _, name := range slices.Sorted(maps.Keys(c.sysctls)) {
		p, fd := c.p, c.p.Borrow()
		file, value := path.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")), c.sysctls[name]
		p.Call("open "+file, unix.SYS_OPEN, p.String(file), shim.Int(unix.O_WRONLY|unix.O_CLOEXEC)).To(fd)
		p.Call("write "+file, unix.SYS_WRITE, fd.Arg(), p.String(value), shim.Int(len(value)))
		release(p, fd)
	}
}

// keep puts a mount on a descriptor of its own.
func (c *carrier) keep(tree shim.Reg) uint64 {
	fd := c.next
	c.next++
	c.p.Call("hold mount", unix.SYS_DUP3, tree.Arg(), shim.Int(fd), shim.Int(unix.O_CLOEXEC))
	release(c.p, tree)
	return fd
}

// clone takes what is at a path, to be shown there again.
func (c *carrier) clone(at string, file bool) carried {
	return carried{fd: c.keep(c.openTree(at, unix.AT_RECURSIVE)), to: at, file: file}
}

func (c *carrier) openTree(at string, flags int) shim.Reg {
	tree := c.p.Borrow()
	c.p.Call("open "+at, unix.SYS_OPEN_TREE, shim.Int(unix.AT_FDCWD), c.p.String(at), shim.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)).To(tree)
	return tree
}

// takeRoot mounts the root file system where it was asked for, and takes it.
func (c *carrier) takeRoot(s scene) (carried, error) {
	from := s.root
	switch {
	case s.host:
		from = "/"
	case s.overlay != nil:
		data, err := s.overlay.Data()
		if err != nil {
			return carried{}, err
		}
		c.mapLayers(s.overlay.Lower)
		c.p.Call("mount overlay", unix.SYS_MOUNT, c.p.String("overlay"), c.p.String(s.root), c.p.String("overlay"), shim.Int(0), c.p.String(data))
	}
	if !s.host {
		s.refuseLinks(c.p)
	}
	out := c.clone(from, false)
	out.to = c.root
	return out, nil
}

// mapLayers covers layers with id-mapped mounts of themselves.
func (c *carrier) mapLayers(layers []string) {
	for _, layer := range layers {
		if c.mapped[layer] {
			continue
		}
		c.mapped[layer] = true
		tree := c.openTree(layer, 0)
		native.MapIDs(c.p, "layer "+layer, tree, 0, usersFD)
		c.p.Call("cover layer "+layer, unix.SYS_MOVE_MOUNT, tree.Arg(), c.p.String(""), shim.Int(unix.AT_FDCWD), c.p.String(layer), shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
		release(c.p, tree)
	}
}

// takeMounts takes the sources of all mounts that have one; 0 stands for the others.
func (c *carrier) takeMounts() (out []uint64) {
	for _, m := range c.mounts {
		name := "mount " + m.source + " on " + m.destination
		var tree shim.Reg
		switch {
		case m.kind == "tmpfs":
			out = append(out, 0)
			continue
		case m.kind != "":
			tree = c.sysfs(m)
		case m.overlay != "":
			c.mapLayers(m.layers)
			// Not by fsconfig, which takes 255 bytes of layers.
			c.p.Call(name, unix.SYS_MOUNT, c.p.String("overlay"), c.p.String(m.at), c.p.String("overlay"), shim.Int(m.flags()), c.p.String(m.overlay))
			tree = c.openTree(m.at, 0)
		default:
			tree = takeTree(c.p, m.within, m.source)
			c.p.Call(name, unix.SYS_MOUNT_SETATTR, tree.Arg(), c.p.String(""), shim.Int(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE),
				c.p.Words(m.attributes, 0, m.propagation, 0), shim.Int(32))
			if m.mapped && !c.mapped[path.Join(m.within, m.source)] {
				native.MapIDs(c.p, m.source, tree, unix.AT_RECURSIVE, usersFD)
			}
		}
		out = append(out, c.keep(tree))
	}
	return out
}

// sysfs mounts that of the network where nobody sees it.
func (c *carrier) sysfs(m taken) shim.Reg {
	p, fs, tree, name := c.p, c.p.Borrow(), c.p.Borrow(), "mount sysfs on "+m.destination
	p.Call(name, unix.SYS_FSOPEN, p.String("sysfs"), shim.Int(unix.FSOPEN_CLOEXEC)).To(fs)
	p.Call(name, unix.SYS_FSCONFIG, fs.Arg(), shim.Int(unix.FSCONFIG_CMD_CREATE), shim.Int(0), shim.Int(0), shim.Int(0))
	p.Call(name, unix.SYS_FSMOUNT, fs.Arg(), shim.Int(unix.FSMOUNT_CLOEXEC), shim.Int(m.attributes)).To(tree)
	release(p, fs)
	return tree
}

// takeOutput opens the files of the output once more, by id-mapped mounts: the command can
// then open them again by /dev/stdout.
func (c *carrier) takeOutput() {
	for i, file := range c.output {
		if file == "" {
			continue
		}
		p, tree, fd := c.p, c.openTree(file, unix.AT_SYMLINK_NOFOLLOW), c.p.Borrow()
		native.MapIDs(p, file, tree, 0, usersFD)
		p.Call("hold "+file, unix.SYS_DUP3, tree.Arg(), shim.Int(heldFD), shim.Int(unix.O_CLOEXEC))
		p.Call("open "+file, unix.SYS_OPEN, p.String("/proc/self/fd/"+strconv.Itoa(heldFD)), shim.Int(unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC)).To(fd)
		p.Call("take "+file, unix.SYS_DUP3, fd.Arg(), shim.Int(stdioFD+1+i), shim.Int(0))
		p.Call("close", unix.SYS_CLOSE, shim.Int(heldFD))
		release(p, tree)
		release(p, fd)
	}
}

// cover hides the closed directory that everything is below.
func (c *carrier) cover() {
	p := c.p
	p.Call("cover "+c.closed, unix.SYS_MOUNT, p.String("tmpfs"), p.String(c.closed), p.String("tmpfs"), shim.Int(unix.MS_NOSUID|unix.MS_NODEV), p.String("mode=755,size=1m"))
}

// show attaches a mount at a path below the closed directory.
func (c *carrier) show(one carried) {
	c.mountPoint(one.to, one.file)
	c.p.Call("show "+one.to, unix.SYS_MOVE_MOUNT, shim.Int(one.fd), c.p.String(""), shim.Int(unix.AT_FDCWD), c.p.String(one.to), shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	c.p.Call("close", unix.SYS_CLOSE, shim.Int(one.fd))
}

func (c *carrier) mountPoint(at string, file bool) {
	parts := strings.Split(strings.TrimPrefix(at, c.closed+"/"), "/")
	for i := range parts {
		name := c.closed + "/" + strings.Join(parts[:i+1], "/")
		if file && i == len(parts)-1 {
			c.p.Call("make "+name, unix.SYS_MKNOD, c.p.String(name), shim.Int(unix.S_IFREG|0o644), shim.Int(0)).Except(uint16(unix.EEXIST))
			continue
		}
		c.p.Call("make "+name, unix.SYS_MKDIR, c.p.String(name), shim.Int(0o755)).Except(uint16(unix.EEXIST))
	}
}

// attach puts a mount into the container's root, or into the place where the runtime finds
// it.
func (c *carrier) attach(m taken, fd uint64) {
	p, name := c.p, "mount "+m.source+" on "+m.destination
	if m.place != "" {
		c.show(carried{fd: fd, to: m.place, file: !m.dir})
		return
	}
	at := m.target(p)
	if m.kind == "tmpfs" {
		p.Call("hold "+m.destination, unix.SYS_DUP3, at.Arg(), shim.Int(heldFD), shim.Int(unix.O_CLOEXEC))
		p.Call(name, unix.SYS_MOUNT, p.String("tmpfs"), p.String("/proc/self/fd/"+strconv.Itoa(heldFD)), p.String("tmpfs"), shim.Int(m.flags()), p.String(m.data))
		p.Call("close", unix.SYS_CLOSE, shim.Int(heldFD))
		release(p, at)
		return
	}
	p.Call(name, unix.SYS_MOVE_MOUNT, shim.Int(fd), p.String(""), at.Arg(), p.String(""), shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	release(p, at)
	p.Call("close", unix.SYS_CLOSE, shim.Int(fd))
}
