package launchertest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// node is a device by its numbers.
type node struct {
	kind, major, minor uint32
}

func (n node) String() string {
	if n.kind == unix.S_IFBLK {
		return fmt.Sprintf("block device %d:%d", n.major, n.minor)
	}
	return fmt.Sprintf("device %d:%d", n.major, n.minor)
}

// forbidden lead to the host's memory, kernel, disks, screens and virtual machines. Those
// that this machine does not have are refused in the same way, before a driver is asked.
var forbidden = []node{
	{unix.S_IFCHR, 1, 1}, {unix.S_IFCHR, 1, 2}, {unix.S_IFCHR, 1, 4}, {unix.S_IFCHR, 1, 11}, {unix.S_IFCHR, 4, 0}, {unix.S_IFCHR, 4, 1}, {unix.S_IFCHR, 4, 64},
	{unix.S_IFCHR, 7, 0}, {unix.S_IFCHR, 10, 229}, {unix.S_IFCHR, 10, 232}, {unix.S_IFCHR, 10, 234}, {unix.S_IFCHR, 10, 236}, {unix.S_IFCHR, 10, 237},
	{unix.S_IFCHR, 13, 64}, {unix.S_IFCHR, 29, 0}, {unix.S_IFCHR, 108, 0}, {unix.S_IFCHR, 195, 0}, {unix.S_IFCHR, 226, 0}, {unix.S_IFCHR, 240, 0},
	{unix.S_IFBLK, 1, 0}, {unix.S_IFBLK, 1, 3}, {unix.S_IFBLK, 7, 0}, {unix.S_IFBLK, 8, 0}, {unix.S_IFBLK, 11, 0}, {unix.S_IFBLK, 252, 0}, {unix.S_IFBLK, 253, 0},
	{unix.S_IFBLK, 254, 0}, {unix.S_IFBLK, 259, 0},
}

// harmless are those of template.Devices that can be opened by anybody.
var harmless = []node{{unix.S_IFCHR, 1, 3}, {unix.S_IFCHR, 1, 5}, {unix.S_IFCHR, 1, 7}, {unix.S_IFCHR, 1, 8}, {unix.S_IFCHR, 1, 9}}

// devices makes nodes, which it may, and opens them, which only the list of devices decides
// about. A runtime may leave the making of nodes to everybody.
func (p *probe) devices() {
	for _, n := range forbidden {
		err := makeNode(n)
		p.check(err == nil || errors.Is(err, unix.EPERM), "making %s: %v", n, err)
		if err != nil {
			continue
		}
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR} {
			p.check(errors.Is(open(flags), unix.EPERM), "opening %s with flags %d is not refused: %v", n, flags, open(flags))
		}
	}
	for _, n := range harmless {
		p.check(makeNode(n) == nil && open(unix.O_RDWR) == nil, "%s cannot be used: %v", n, open(unix.O_RDWR))
	}
}

const nodePath = "/tmp/node"

func makeNode(n node) error {
	_ = os.Remove(nodePath)
	return unix.Mknod(nodePath, n.kind|0o600, int(unix.Mkdev(n.major, n.minor)))
}

func open(flags int) error {
	fd, err := unix.Open(nodePath, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
