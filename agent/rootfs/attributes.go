package rootfs

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Marks of overlay itself.
const (
	opaqueTrusted = "trusted.overlay.opaque"
	opaqueUser    = "user.overlay.opaque"
)

const capabilities = "security.capability"

// through names a file in an open directory for calls that take no descriptor; the last part
// of such a path is never followed by the calls that begin with L.
func through(dir int, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + name
}

func opaque(dir int, name string) bool {
	value := make([]byte, 2)
	for _, mark := range []string{opaqueTrusted, opaqueUser} {
		if n, err := unix.Lgetxattr(through(dir, name), mark, value); err == nil && string(value[:n]) == "y" {
			return true
		}
	}
	return false
}

// attributes copies all but times to something that is not open. The mode comes last: a
// change of owner clears setuid and setgid.
func (w *copier) attributes(from, to int, p pick) error {
	if err := unix.Fchownat(to, p.name, int(w.owner(p.stat.Uid)), int(w.owner(p.stat.Gid)), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := w.xattrs(through(from, p.name), through(to, p.name)); err != nil {
		return err
	}
	if p.stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	return unix.Fchmodat(to, p.name, p.stat.Mode&0o7777, 0)
}

// attributesOf does it for an open file.
func (w *copier) attributesOf(dst, src int, stat unix.Stat_t) error {
	if err := unix.Fchown(dst, int(w.owner(stat.Uid)), int(w.owner(stat.Gid))); err != nil {
		return err
	}
	names, err := list(func(b []byte) (int, error) { return unix.Flistxattr(src, b) })
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := get(func(b []byte) (int, error) { return unix.Fgetxattr(src, name, b) })
		if err != nil {
			return err
		}
		if err := w.left(unix.Fsetxattr(dst, name, w.shifted(name, value), 0)); err != nil {
			return err
		}
	}
	return unix.Fchmod(dst, stat.Mode&0o7777)
}

func (w *copier) xattrs(from, to string) error {
	names, err := list(func(b []byte) (int, error) { return unix.Llistxattr(from, b) })
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := get(func(b []byte) (int, error) { return unix.Lgetxattr(from, name, b) })
		if err != nil {
			return err
		}
		if err := w.left(unix.Lsetxattr(to, name, w.shifted(name, value), 0)); err != nil {
			return err
		}
	}
	return nil
}

// left counts an attribute that the target's file system does not take.
func (w *copier) left(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		w.out.Left++
		return nil
	}
	return err
}

// list gives the attributes that are the image's: not overlay's marks, nor labels that the
// machine gives its files.
func list(read func([]byte) (int, error)) (out []string, err error) {
	value, err := get(read)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(value), "\x00"), "\x00") {
		switch {
		case name == "", strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
		case strings.HasPrefix(name, "security.") && name != capabilities:
		default:
			out = append(out, name)
		}
	}
	return out, err
}

// get reads an attribute whatever its size.
func get(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size = max(2*size, 1<<16) {
		value := make([]byte, size)
		n, err := read(value)
		if errors.Is(err, unix.ERANGE) && size < 1<<17 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return value[:n], nil
	}
}

// shifted has the capabilities of a file hold in the container's user namespace: version 3
// of the kernel's struct vfs_cap_data ends with the machine's id of its root.
func (w *copier) shifted(name string, value []byte) []byte {
	const version2, version3, flags, length = 2 << 24, 3 << 24, 0xffffff, 20
	if name != capabilities || w.Size == 0 || len(value) != length {
		return value
	}
	magic := binary.LittleEndian.Uint32(value)
	if magic&^uint32(flags) != version2 {
		return value
	}
	out := binary.LittleEndian.AppendUint32(nil, version3|magic&flags)
	return binary.LittleEndian.AppendUint32(append(out, value[4:]...), w.First)
}

func times(stat unix.Stat_t) []unix.Timespec { return []unix.Timespec{stat.Atim, stat.Mtim} }

func setTimesAt(dir int, name string, stat unix.Stat_t) error {
	return unix.UtimesNanoAt(dir, name, times(stat), unix.AT_SYMLINK_NOFOLLOW)
}

func setTimes(fd int, stat unix.Stat_t) error {
	return unix.UtimesNanoAt(fd, "", times(stat), unix.AT_EMPTY_PATH)
}
