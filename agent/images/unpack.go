package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unpackConfig says where one layer is unpacked to, and what it may cost.
type unpackConfig struct {
	tree      string
	tape      string // a file to be made; empty: none
	limits    Limits
	userXattr bool
}

// unpacked is what is known of a layer after unpacking.
type unpacked struct {
	note layerNoteFile
	// implied are directories that the archive uses without an entry for them, in the
	// order of their making.
	implied []string
}

// unpacker turns the entries of one layer into files below root. Every path is resolved
// by the kernel beneath root, so that no link of the archive leads out of it.
type unpacker struct {
	unpackConfig
	out    unpacked
	root   int
	buffer []byte
	// parent caches the directory of the last entry.
	parent     int
	parentPath string
	times      []dirTime
	tape       *tape // nil: none
}

type dirTime struct {
	path  string
	mtime time.Time
}

const openDir = unix.O_DIRECTORY | unix.O_CLOEXEC

// unpackTar unpacks an uncompressed layer. A broken or hostile archive gives ErrHostile.
func unpackTar(archive io.Reader, config unpackConfig) (unpacked, error) {
	recorded, _ := archive.(*tape)
	root, err := unix.Open(config.tree, unix.O_RDONLY|openDir, 0)
	if err != nil {
		return unpacked{}, &os.PathError{Op: "open", Path: config.tree, Err: err}
	}
	u := &unpacker{unpackConfig: config, root: root, parent: -1, buffer: make([]byte, 128<<10), tape: recorded}
	defer unix.Close(root)
	defer u.forgetParent()
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.out, archiveError(err)
		}
		if u.out.note.Entries++; u.out.note.Entries > config.limits.Entries {
			return u.out, refused("it has more than %d entries", config.limits.Entries)
		}
		if err := u.entry(header, reader); err != nil {
			return u.out, err
		}
	}
	return u.out, u.setTimes()
}

// archiveError keeps errors of the source, and calls those of the format hostile.
func archiveError(err error) error {
	if errors.Is(err, ErrHostile) || errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, io.ErrUnexpectedEOF) {
		if errors.Is(err, ErrHostile) {
			return err
		}
		return refused("archive is broken: %s", oneLine(err))
	}
	return err
}

// entryPath cleans the name of an entry. Names that leave the layer are refused, not
// mended.
func (u *unpacker) entryPath(name string) (string, error) {
	if strings.ContainsRune(name, 0) || len(name) > unix.PathMax {
		return "", refused("entry %.80q has a name that no file can have", name)
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refused("entry %.200q leaves the layer", name)
		}
		if depth++; depth > u.limits.Depth {
			return "", refused("entry %.80q is nested deeper than %d", name, u.limits.Depth)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := u.entryPath(h.Name)
	if err != nil {
		return err
	}
	if name == "" {
		if h.Typeflag != tar.TypeDir {
			return refused("its root is not a directory")
		}
		return u.attributes(u.root, ".", h)
	}
	dir, base := path.Split(name)
	parent, err := u.open(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return entryError(name, err)
	}
	if rest, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return entryError(name, u.whiteout(parent, rest))
	}
	if err := u.make(parent, base, name, h, content); err != nil {
		return entryError(name, err)
	}
	return nil
}

// entryError adds the entry to an error. A path that leaves the layer through a link, or
// goes through a file, is hostile.
func entryError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
		return refused("entry %.200q leaves the layer through a link", name)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return refused("entry %.200q: %s", name, oneLine(err))
	case errors.Is(err, ErrHostile):
		return fmt.Errorf("entry %.200q: %w", name, err)
	}
	return fmt.Errorf("entry %.200q: %w", name, archiveError(err))
}

// open returns the directory of an entry, making those that the archive does not name.
func (u *unpacker) open(dir string) (int, error) {
	if dir == "" {
		return u.root, nil
	}
	if u.parent >= 0 && u.parentPath == dir {
		return u.parent, nil
	}
	fd, err := beneath(u.root, dir, unix.O_RDONLY|openDir)
	if errors.Is(err, unix.ENOENT) {
		fd, err = u.makeParents(dir)
	}
	if err != nil {
		return -1, err
	}
	u.forgetParent()
	u.parent, u.parentPath = fd, dir
	return fd, nil
}

func (u *unpacker) forgetParent() {
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
	u.parent, u.parentPath = -1, ""
}

func (u *unpacker) makeParents(dir string) (int, error) {
	at, made := u.root, ""
	for part := range strings.SplitSeq(dir, "/") {
		made = path.Join(made, part)
		next, err := beneath(u.root, made, unix.O_RDONLY|openDir)
		if errors.Is(err, unix.ENOENT) {
			if err = unix.Mkdirat(at, part, 0o755); err == nil {
				u.out.implied = append(u.out.implied, made)
				next, err = beneath(u.root, made, unix.O_RDONLY|openDir)
			}
		}
		if at != u.root {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// beneath opens a path without ever leaving the directory root.
func beneath(root int, name string, flags uint64) (int, error) {
	for {
		fd, err := unix.Openat2(root, name, &unix.OpenHow{
			Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
		})
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// setTimes gives directories their times, after everything in them was made.
func (u *unpacker) setTimes() error {
	u.forgetParent()
	for _, d := range u.times {
		dir, base := path.Split(d.path)
		parent, err := u.open(strings.TrimSuffix(dir, "/"))
		if err == nil {
			err = setTime(parent, base, d.mtime)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return entryError(d.path, err)
		}
	}
	return nil
}

func setTime(parent int, base string, mtime time.Time) error {
	stamp, err := unix.TimeToTimespec(mtime)
	if err != nil || mtime.Unix() < 0 {
		stamp = unix.Timespec{}
	}
	return unix.UtimesNanoAt(parent, base, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
}
