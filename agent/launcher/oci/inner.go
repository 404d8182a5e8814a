package oci

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/shim"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// inner is a mount that the scene makes and the runtime does not: its destination is in a
// directory that others may change meanwhile, and a runtime would follow the links in it
// (CVE-2024-45310 and the like). It is resolved inside base, by descriptor.
type inner struct {
	base, destination       string
	inside                  string // a directory in base that destination is resolved in
	within, source          string
	dir                     bool
	overlay                 string // options of an overlay; empty for a bind
	attributes, propagation uint64
}

var attributes = map[string]uint64{"ro": unix.MOUNT_ATTR_RDONLY, "nosuid": unix.MOUNT_ATTR_NOSUID, "nodev": unix.MOUNT_ATTR_NODEV, "noexec": unix.MOUNT_ATTR_NOEXEC}

var propagations = map[string]uint64{"rprivate": unix.MS_PRIVATE, "rslave": unix.MS_SLAVE}

// innerMounts splits off the mounts below a directory of the host, and those on top of
// another bind mount together with it.
func innerMounts(all []specs.Mount, root string) (out []inner, rest []specs.Mount, err error) {
	for i, m := range all {
		base := root
		for _, option := range m.Options {
			if dir, ok := strings.CutPrefix(option, native.Inside); ok {
				base = dir
			}
		}
		if base == root && !stacked(all, i) {
			rest = append(rest, m)
			continue
		}
		one, err := newInner(m, base)
		if err != nil {
			return nil, nil, fmt.Errorf("mount %s on %s: %w", m.Source, m.Destination, err)
		}
		out = append(out, one)
	}
	return out, rest, nil
}

// stacked tells whether a mount is on top of a bind mount, or a bind mount below another.
func stacked(all []specs.Mount, index int) bool {
	isBind := func(m specs.Mount) bool { return m.Type == "bind" }
	below := func(upper, lower specs.Mount) bool {
		return strings.HasPrefix(path.Clean(upper.Destination), strings.TrimSuffix(path.Clean(lower.Destination), "/")+"/")
	}
	for i, other := range all {
		if i != index && (isBind(other) && below(all[index], other) || isBind(all[index]) && below(other, all[index])) {
			return true
		}
	}
	return false
}

func newInner(m specs.Mount, base string) (inner, error) {
	one := inner{base: base, destination: m.Destination, within: "/", source: path.Join("/", m.Source), dir: true}
	var data []string
	for _, option := range m.Options {
		within, ok := strings.CutPrefix(option, native.Within)
		switch {
		case ok:
			one.within = within
		case attributes[option] != 0:
			one.attributes |= attributes[option]
		case propagations[option] != 0:
			one.propagation = propagations[option]
		case strings.Contains(option, "dir="):
			data = append(data, option)
		}
	}
	switch m.Type {
	case "bind":
		info, err := os.Stat(path.Join(one.within, one.source))
		if err != nil {
			return one, err
		}
		one.dir = info.IsDir()
	case "overlay":
		one.overlay = strings.Join(data, ",")
	default:
		return one, fmt.Errorf("type %s on top of another volume needs --launcher=native", m.Type)
	}
	return one, nil
}

// heldFD is where a mount point is kept while it is named through /proc.
const heldFD = 100

func (s scene) mountInner(p *shim.Program) {
	for _, m := range s.inner {
		name := "mount " + m.source + " on " + m.destination
		if m.overlay != "" {
			at := m.target(p)
			p.Call("hold "+m.destination, unix.SYS_DUP3, at.Arg(), shim.Int(heldFD), shim.Int(unix.O_CLOEXEC))
			p.Call(name, unix.SYS_MOUNT, p.String("overlay"), p.String("/proc/self/fd/"+strconv.Itoa(heldFD)), p.String("overlay"), shim.Int(m.flags()), p.String(m.overlay))
			p.Call("close", unix.SYS_CLOSE, shim.Int(heldFD))
			release(p, at)
			continue
		}
		tree := takeTree(p, m.within, m.source)
		empty := p.String("")
		p.Call(name, unix.SYS_MOUNT_SETATTR, tree.Arg(), empty, shim.Int(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE),
			p.Words(m.attributes, 0, m.propagation, 0), shim.Int(32))
		at := m.target(p)
		p.Call(name, unix.SYS_MOVE_MOUNT, tree.Arg(), empty, at.Arg(), empty, shim.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
		release(p, at)
		release(p, tree)
	}
}

// flags are the attributes as mount wants them.
func (m inner) flags() (flags uint64) {
	for attribute, flag := range map[uint64]uint64{unix.MOUNT_ATTR_RDONLY: unix.MS_RDONLY, unix.MOUNT_ATTR_NOSUID: unix.MS_NOSUID,
		unix.MOUNT_ATTR_NODEV: unix.MS_NODEV, unix.MOUNT_ATTR_NOEXEC: unix.MS_NOEXEC} {
		if m.attributes&attribute != 0 {
			flags |= flag
		}
	}
	return flags
}

// target opens the mount point, made if it is missing. Each step is resolved inside base
// anew, whatever became of the one before.
func (m inner) target(p *shim.Program) shim.Reg {
	base := m.openBase(p)
	open := func(where string, flags uint64) shim.Reg {
		at := p.Borrow()
		how := p.Words(unix.O_PATH|unix.O_CLOEXEC|flags, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
		p.Call("open "+where, unix.SYS_OPENAT2, base.Arg(), p.String(where), how, shim.Int(24)).To(at)
		return at
	}
	parts := strings.Split(strings.Trim(path.Clean("/"+m.destination), "/"), "/")
	at := open(".", unix.O_DIRECTORY)
	for i, part := range parts {
		prefix := strings.Join(parts[:i+1], "/")
		directory := m.dir || i < len(parts)-1
		if directory {
			p.Call("make "+prefix, unix.SYS_MKDIRAT, at.Arg(), p.String(part), shim.Int(0o755)).Optional()
		} else {
			p.Call("make "+prefix, unix.SYS_MKNODAT, at.Arg(), p.String(part), shim.Int(unix.S_IFREG|0o644), shim.Int(0)).Optional()
		}
		release(p, at)
		flags := uint64(0)
		if directory {
			flags = unix.O_DIRECTORY
		}
		at = open(prefix, flags)
	}
	release(p, base)
	return at
}

func (m inner) openBase(p *shim.Program) shim.Reg {
	if m.inside != "" {
		return openIn(p, m.base, m.inside)
	}
	base := p.Borrow()
	p.Call("open "+m.base, unix.SYS_OPEN, p.String(m.base), shim.Int(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)).To(base)
	return base
}
