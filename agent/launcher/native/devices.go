package native

import (
	"path"

	"agora.dev/agora/agent/launcher/shim"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultDevices are the nodes that the runtime specification wants in every
// container.
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}, {Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7}, {Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9}, {Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

var deviceLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
}

func (c *compiler) devices() {
	if !c.hasDev() {
		return
	}
	dev := c.target("/dev", false)
	for _, d := range append(defaultDevices[:len(defaultDevices):len(defaultDevices)], c.spec.Linux.Devices...) {
		at, own := dev, path.Dir(d.Path) != "/dev"
		if own {
			at = c.target(path.Dir(d.Path), false)
		}
		mode := uint32(0o666)
		if d.FileMode != nil {
			mode = uint32(d.FileMode.Perm())
		}
		kind := uint32(unix.S_IFCHR)
		if d.Type == "b" {
			kind = unix.S_IFBLK
		}
		c.p.Call("make "+d.Path, unix.SYS_MKNODAT, at.Arg(), c.p.String(path.Base(d.Path)), shim.Int(kind|mode),
			shim.Int(unix.Mkdev(uint32(d.Major), uint32(d.Minor)))).Except(uint16(unix.EEXIST))
		if own {
			c.close(at)
			c.p.Free(at)
		}
	}
	for _, link := range deviceLinks {
		c.p.Call("link /dev/"+link[1], unix.SYS_SYMLINKAT, c.p.String(link[0]), dev.Arg(), c.p.String(link[1])).Except(uint16(unix.EEXIST))
	}
	c.close(dev)
	c.p.Free(dev)
}

// hasDev tells whether /dev is the container's own, and not the image's or a host's.
func (c *compiler) hasDev() bool {
	for _, m := range c.spec.Mounts {
		if path.Clean(m.Destination) == "/dev" && m.Type == "tmpfs" {
			return true
		}
	}
	return false
}
