package images

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// make puts one entry into its directory, in place of an earlier one of that name.
func (u *unpacker) make(parent int, base, name string, h *tar.Header, content io.Reader) error {
	for key, value := range h.PAXRecords {
		if attribute, ok := strings.CutPrefix(key, xattrRecord); ok && h.Typeflag != tar.TypeXGlobalHeader && !keptXattr(attribute, value) {
			u.out.note.Left++
		}
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeChar, tar.TypeBlock:
		// A container gets its own /dev; a node from an image would be a way past the
		// device rules, and one with the numbers 0:0 an overlay whiteout.
		u.out.note.Left++
		return nil
	case tar.TypeDir:
		return u.makeDir(parent, base, name, h)
	case tar.TypeReg, tar.TypeLink, tar.TypeSymlink, tar.TypeFifo, tar.TypeCont, tar.TypeGNUSparse:
	default:
		return refused("it is of the unknown kind %q", h.Typeflag)
	}
	if _, err := u.clear(parent, base); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if h.Linkname == "" || strings.ContainsRune(h.Linkname, 0) {
			return refused("it is a link to nothing")
		}
		// The target is data: it is followed only inside a container.
		if err := unix.Symlinkat(h.Linkname, parent, base); err != nil {
			return err
		}
		return u.attributes(parent, base, h)
	case tar.TypeLink:
		return u.hardLink(parent, base, h)
	case tar.TypeFifo:
		if err := unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0); err != nil {
			return err
		}
		return u.attributes(parent, base, h)
	}
	return u.makeFile(parent, base, name, h, content)
}

// clear makes way for an entry that is no directory. What it finds in the way it
// removes; directories with something in them it refuses to. It tells what was there.
func (u *unpacker) clear(parent int, base string) (unix.Stat_t, error) {
	var was unix.Stat_t
	err := unix.Fstatat(parent, base, &was, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return was, nil
	} else if err != nil {
		return was, err
	}
	u.forgetOther(parent)
	flags := 0
	if was.Mode&unix.S_IFMT == unix.S_IFDIR {
		flags = unix.AT_REMOVEDIR
	}
	err = unix.Unlinkat(parent, base, flags)
	if errors.Is(err, unix.ENOTEMPTY) {
		return was, refused("it takes the place of a directory that is in use")
	}
	return was, err
}

// forgetOther drops the cached directory when it is not the one in use: its path may
// mean something else once a link was replaced.
func (u *unpacker) forgetOther(parent int) {
	if u.parent >= 0 && u.parent != parent {
		u.forgetParent()
	}
}

func (u *unpacker) makeDir(parent int, base, name string, h *tar.Header) error {
	var was unix.Stat_t
	err := unix.Fstatat(parent, base, &was, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fresh := err != nil
	if !fresh && was.Mode&unix.S_IFMT != unix.S_IFDIR {
		if was, err = u.clear(parent, base); err != nil {
			return err
		}
		fresh = true
	}
	if fresh {
		if err := unix.Mkdirat(parent, base, 0o700); err != nil {
			return err
		}
		if isWhiteout(was) {
			if err := u.markOpaque(parent, base); err != nil {
				return err
			}
		}
	}
	u.out.implied = without(u.out.implied, name)
	u.times = append(u.times, dirTime{path: name, mtime: h.ModTime})
	return u.attributes(parent, base, h)
}

func without(list []string, name string) []string {
	for i, s := range list {
		if s == name {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// hardLink links to an earlier entry of the same layer. Links to links are kept as
// such; links to whiteouts and directories are refused.
func (u *unpacker) hardLink(parent int, base string, h *tar.Header) error {
	target, err := u.entryPath(h.Linkname)
	if err != nil {
		return err
	}
	if target == "" {
		return refused("it is a link to the root")
	}
	fd, err := beneath(u.root, target, unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return refused("it links to %.200q, which is not in the layer", h.Linkname)
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if kind := stat.Mode & unix.S_IFMT; kind == unix.S_IFDIR || isWhiteout(stat) {
		return refused("it links to %.200q, which is no file", h.Linkname)
	}
	return linkFD(fd, parent, base)
}

// linkFD links the file behind a descriptor, not a name that could change.
func linkFD(fd, parent int, base string) error {
	err := unix.Linkat(fd, "", parent, base, unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
		// Without CAP_DAC_READ_SEARCH the empty path is not allowed.
		return unix.Linkat(unix.AT_FDCWD, procFD(fd), parent, base, unix.AT_SYMLINK_FOLLOW)
	}
	return err
}

func (u *unpacker) makeFile(parent int, base, name string, h *tar.Header, content io.Reader) error {
	if h.Size > u.limits.LayerBytes-u.out.note.Size {
		return refused("with its %d bytes the layer is larger than %d", h.Size, u.limits.LayerBytes)
	}
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), base)
	defer file.Close()
	if err := u.content(file, name, h, content); err != nil {
		return err
	}
	if err := u.setXattrs(fd, h, "user."); err != nil {
		return err
	}
	if err := u.attributes(parent, base, h); err != nil {
		return err
	}
	// After the owner: a change of owner clears them.
	if err := u.setXattrs(fd, h, capabilityXattr); err != nil {
		return err
	}
	return file.Close()
}

// content fills a file. The tape does not have what the file has, but of a sparse one, whose
// archive holds something else.
func (u *unpacker) content(file io.Writer, name string, h *tar.Header, content io.Reader) error {
	taped := u.tape != nil && h.Typeflag != tar.TypeGNUSparse && h.PAXRecords["GNU.sparse.major"] == "" && h.PAXRecords["GNU.sparse.size"] == ""
	if taped {
		u.tape.elsewhere = true
	}
	written, err := io.CopyBuffer(onlyWriter{file}, content, u.buffer)
	u.out.note.Size += written
	if taped {
		u.tape.elsewhere = false
		u.tape.kept(name, written)
	}
	return err
}

// onlyWriter hides ReadFrom, so that the copy uses our buffer.
type onlyWriter struct{ io.Writer }

// attributes sets owner, mode and time; for a directory also extended attributes.
func (u *unpacker) attributes(parent int, base string, h *tar.Header) error {
	if h.Uid < 0 || h.Gid < 0 || h.Uid > maxID || h.Gid > maxID {
		return refused("owner %d:%d is out of range", h.Uid, h.Gid)
	}
	err := unix.Fchownat(parent, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !(u.userXattr && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL))) {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return setTime(parent, base, h.ModTime)
	}
	// After the owner: a change of owner clears setuid and setgid.
	if err := unix.Fchmodat(parent, base, uint32(h.Mode)&0o7777, 0); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return u.dirXattrs(parent, base, h)
	}
	return setTime(parent, base, h.ModTime)
}

// maxID is the largest user or group id that is no overflow and no -1.
const maxID = 1<<31 - 1

func (u *unpacker) dirXattrs(parent int, base string, h *tar.Header) error {
	if len(h.PAXRecords) == 0 {
		return nil
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_NOFOLLOW|openDir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return u.setXattrs(fd, h, "user.")
}

const (
	xattrRecord     = "SCHILY.xattr."
	capabilityXattr = "security.capability"
)

// keptXattr tells attributes that an image may have: user.*, and the capabilities of files,
// which give no more than the bounding set of the container, as setuid does. The other
// security.*, system.* and trusted.* select access lists, labels and overlay's own marks, which
// an image has no say in.
func keptXattr(attribute, value string) bool {
	if attribute == capabilityXattr {
		return fileCapability(value)
	}
	return strings.HasPrefix(attribute, "user.") && !strings.HasPrefix(attribute, "user.overlay.")
}

// fileCapability knows version 2 of the kernel's struct vfs_cap_data, which is for every user
// namespace; version 3 names one of the machine where the image was made.
func fileCapability(value string) bool {
	return len(value) == 20 && binary.LittleEndian.Uint32([]byte(value))>>24 == 2
}

// setXattrs keeps the attributes with the prefix that an image may have.
func (u *unpacker) setXattrs(fd int, h *tar.Header, prefix string) error {
	for key, value := range h.PAXRecords {
		attribute, ok := strings.CutPrefix(key, xattrRecord)
		if !ok || !strings.HasPrefix(attribute, prefix) {
			continue
		}
		if !keptXattr(attribute, value) {
			continue // counted with its entry
		}
		err := unix.Fsetxattr(fd, attribute, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) {
			u.out.note.Left++
		} else if err != nil {
			return err
		}
	}
	return nil
}
