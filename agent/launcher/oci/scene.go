package oci

import (
	"os"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// Descriptors of the shim that sets the scene, after those for the init.
const (
	innerFD  = gateFD + 1 // the program for the init
	reportFD = gateFD + 2
)

// scene is the private mount namespace in which the runtime works. Its mounts end
// with the last process in it: nobody has to unmount anything, whoever dies.
type scene struct {
	hidden  []string
	overlay *launcher.Overlay
	// root is where the root file system is mounted; with host it is the host's.
	root string
	host bool
	// held are directories and files, open in the scene, that are bound to places.
	held []held
	// inner are mounts that are made before the runtime sees the root.
	inner []inner
	// users is nil for a container in the machine's user namespace.
	users *users
	// network is the path of the namespace that the runtime works in; empty for the
	// launcher's.
	network string
}

type held struct {
	within, source, place string
}

// base is what destinations of inner mounts are resolved in, when they name no other.
func (s scene) base() string {
	if s.host {
		return "/"
	}
	return s.root
}

// program mounts and then becomes the runtime.
func (s scene) program(argv []string) (*shim.Program, error) {
	p := shim.New(reportFD)
	slash := p.String("/")
	p.Call("private mounts", unix.SYS_MOUNT, shim.Int(0), slash, shim.Int(0), shim.Int(unix.MS_REC|unix.MS_SLAVE), shim.Int(0))
	for _, dir := range s.hidden {
		p.Call("hide "+dir, unix.SYS_UMOUNT2, p.String(dir), shim.Int(unix.MNT_DETACH))
	}
	joinNetwork(p, s.network)
	if s.users != nil {
		if err := s.stage(p); err != nil {
			return nil, err
		}
	} else if err := s.build(p); err != nil {
		return nil, err
	}
	p.Call("pass program", unix.SYS_DUP3, shim.Int(innerFD), shim.Int(programFD), shim.Int(0))
	last := ^uint32(0)
	p.Call("mark files", unix.SYS_CLOSE_RANGE, shim.Int(innerFD), shim.Int(last), shim.Int(unix.CLOSE_RANGE_CLOEXEC))
	env := p.Strings([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
	p.Call("exec "+argv[0], unix.SYS_EXECVE, p.String(argv[0]), p.Strings(argv), env)
	return p, nil
}

// build makes the mounts that the runtime finds, for a container in the machine's user namespace.
func (s scene) build(p *shim.Program) error {
	slash := p.String("/")
	if s.host {
		s.mountInner(p)
	}
	if s.overlay != nil {
		data, err := s.overlay.Data()
		if err != nil {
			return err
		}
		p.Call("mount overlay", unix.SYS_MOUNT, p.String("overlay"), p.String(s.root), p.String("overlay"), shim.Int(0), p.String(data))
	} else if s.host {
		p.Call("mount root", unix.SYS_MOUNT, slash, p.String(s.root), shim.Int(0), shim.Int(unix.MS_BIND|unix.MS_REC), shim.Int(0))
	}
	if s.root != "" && !s.host {
		s.refuseLinks(p)
		s.mountInner(p)
	}
	for _, h := range s.held {
		h.bind(p)
	}
	return nil
}

// refuseLinks stops before a runtime follows an image's link out of its root: runc 1.1
// makes the links in /dev by name (the class of CVE-2021-30465).
func (s scene) refuseLinks(p *shim.Program) {
	root, at := p.Borrow(), p.Borrow()
	p.Call("open root "+s.root, unix.SYS_OPEN, p.String(s.root), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(root)
	how := p.Words(unix.O_PATH|unix.O_CLOEXEC, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	for _, dir := range []string{"dev", "proc", "sys"} {
		p.Call("the image's /"+dir+" must not be a link", unix.SYS_OPENAT2, root.Arg(), p.String(dir), how, shim.Int(24)).To(at).Except(uint16(unix.ENOENT))
	}
	p.Free(root)
	p.Free(at)
}

// bind puts source, resolved inside the directory within whatever links it holds, where
// the runtime can name it without looking it up again.
func (h held) bind(p *shim.Program) {
	tree := takeTree(p, h.within, h.source)
	p.Call("bind "+h.source, unix.SYS_MOVE_MOUNT, tree.Arg(), p.String(""), shim.Int(unix.AT_FDCWD), p.String(h.place), shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	release(p, tree)
}

// openIn opens a path resolved inside a directory.
func openIn(p *shim.Program, within, path string) shim.Reg {
	dir, file := p.Borrow(), p.Borrow()
	p.Call("open "+within, unix.SYS_OPEN, p.String(within), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(dir)
	how := p.Words(unix.O_PATH|unix.O_CLOEXEC, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	p.Call("open "+path, unix.SYS_OPENAT2, dir.Arg(), p.String(path), how, shim.Int(24)).To(file)
	release(p, dir)
	return file
}

// takeTree takes a copy of the mounts at a path resolved inside a directory.
func takeTree(p *shim.Program, within, path string) shim.Reg {
	file, tree := openIn(p, within, path), p.Borrow()
	p.Call("bind "+path, unix.SYS_OPEN_TREE, file.Arg(), p.String(""),
		shim.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)).To(tree)
	release(p, file)
	return tree
}

func release(p *shim.Program, fd shim.Reg) {
	p.Call("close", unix.SYS_CLOSE, fd.Arg())
	p.Free(fd)
}

// place makes the mount point of what is held.
func (h held) mountPoint(dir bool) error {
	if dir {
		return os.Mkdir(h.place, 0o700)
	}
	return os.WriteFile(h.place, nil, 0o600)
}
