package images

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Whiteouts of the image format (OCI image spec, layer.md) become those of overlayfs: a
// character device 0:0 hides a name, an attribute makes a directory opaque. Both are
// allowed without privilege since Linux 5.8, the attribute then as user.overlay.opaque.
const (
	whiteoutPrefix = ".wh."
	opaqueRest     = ".wh..opq"
	opaqueTrusted  = "trusted.overlay.opaque"
	opaqueUser     = "user.overlay.opaque"
)

// whiteout handles an entry whose name is the whiteout prefix and rest.
func (u *unpacker) whiteout(parent int, rest string) error {
	switch {
	case rest == opaqueRest:
		return u.markOpaque(parent, ".")
	case len(rest) >= len(whiteoutPrefix) && rest[:len(whiteoutPrefix)] == whiteoutPrefix:
		return nil // bookkeeping of aufs
	case rest == "" || rest == "." || rest == "..":
		return refused("it hides no name")
	}
	var was unix.Stat_t
	err := unix.Fstatat(parent, rest, &was, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return unix.Mknodat(parent, rest, unix.S_IFCHR, 0)
	} else if err != nil {
		return err
	}
	// A whiteout hides what lies below, not what this layer brings itself.
	if was.Mode&unix.S_IFMT == unix.S_IFDIR {
		return u.markOpaque(parent, rest)
	}
	return nil
}

func isWhiteout(stat unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0
}

func (u *unpacker) markOpaque(parent int, base string) error {
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_NOFOLLOW|openDir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	attribute := opaqueTrusted
	if u.userXattr {
		attribute = opaqueUser
	}
	return unix.Fsetxattr(fd, attribute, []byte("y"), 0)
}

func procFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// adoptParents gives directories that a layer uses without naming them the owner and
// mode that they have in the layers below, as if the layer had been unpacked on top.
func (s *Store) adoptParents(tree string, implied, below []string) error {
	for _, dir := range implied {
		for i := len(below) - 1; i >= 0; i-- {
			lower, err := s.layerTree(below[i])
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(lower)
			if err != nil {
				return err
			}
			info, err := root.Lstat(dir)
			root.Close()
			if errors.Is(err, fs.ErrNotExist) || err != nil {
				continue
			}
			if info.IsDir() {
				if err := adopt(tree, dir, info); err != nil {
					return err
				}
			}
			break
		}
	}
	return nil
}

// adopt copies owner and mode. The path is resolved anew beneath the tree: since it was
// made, a later entry may have put a link on it.
func adopt(tree, dir string, from fs.FileInfo) error {
	stat, ok := from.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	root, err := unix.Open(tree, unix.O_RDONLY|openDir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	fd, err := beneath(root, dir, unix.O_RDONLY|openDir)
	if err != nil {
		return entryError(dir, err)
	}
	defer unix.Close(fd)
	if err := unix.Fchown(fd, int(stat.Uid), int(stat.Gid)); err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return unix.Fchmod(fd, stat.Mode&0o7777)
}
