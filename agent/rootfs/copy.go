package rootfs

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Copying says what is copied.
type Copying struct {
	// Layers are directories, the lowest first.
	Layers []string
	// First and Size are the ids of a user namespace: what belongs to user N of the image
	// belongs to First+N of the machine, and what belongs to none of Size ids to its 65534. A
	// Size of 0 keeps owners.
	First, Size uint32
}

// Copied says what came of it.
type Copied struct {
	Files int // of all kinds, directories included
	// Bytes are those that the copy takes on its file system; blocks shared with the
	// layers count, as they do for du.
	Bytes uint64
	// Left are extended attributes that the target's file system does not take.
	Left int
}

// copier copies one image.
type copier struct {
	Copying
	ctx    context.Context
	layers []int // descriptors of the layers, the lowest first
	target int
	// linked are the files with several names, and the first of them in the target.
	linked map[inode]string
	// dirs are what has been made, parents before children: their times are set at the end.
	dirs []made
	// uncloned are the layers whose files cannot share blocks with the target's.
	uncloned map[int]bool
	buffer   []byte
	out      Copied
}

type inode struct {
	layer int
	dev   uint64
	ino   uint64
}

type made struct {
	path string
	stat unix.Stat_t
}

// unread is a directory that is still to be copied.
type unread struct {
	path   string
	layers []int // the uppermost first
}

// rootMode is what the root of every container has, as with overlay.
const rootMode = 0o755

// To copies into a directory, which it makes. ctx ends it between two files, and within a
// large one.
func (c Copying) To(ctx context.Context, dir string) (Copied, error) {
	w := &copier{Copying: c, ctx: ctx, linked: map[inode]string{}, uncloned: map[int]bool{}, target: -1}
	defer w.close()
	err := w.open(dir)
	if err == nil {
		err = w.run()
	}
	if err != nil {
		return w.out, fmt.Errorf("copy image to %s: %w", dir, err)
	}
	return w.out, nil
}

func (w *copier) open(dir string) (err error) {
	for _, layer := range w.Layers {
		fd, err := unix.Open(layer, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open layer", Path: layer, Err: err}
		}
		w.layers = append(w.layers, fd)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	w.target, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return err
}

func (w *copier) close() {
	for _, fd := range w.layers {
		unix.Close(fd)
	}
	if w.target >= 0 {
		unix.Close(w.target)
	}
}

func (w *copier) run() error {
	top := unread{path: "."}
	for i := range slices.Backward(w.layers) {
		top.layers = append(top.layers, i)
		if opaque(w.layers[i], ".") {
			break
		}
	}
	for todo := []unread{top}; len(todo) > 0; {
		next := todo[len(todo)-1]
		below, err := w.directory(next)
		if err != nil {
			return err
		}
		todo = append(todo[:len(todo)-1], below...)
	}
	return w.finish()
}

// directory copies what is in one directory, and returns those in it.
func (w *copier) directory(d unread) (below []unread, err error) {
	var listings [][]entry
	sources := map[int]int{} // descriptors, by layer
	defer func() {
		for _, fd := range sources {
			unix.Close(fd)
		}
	}()
	for _, layer := range d.layers {
		fd, err := openBeneath(w.layers[layer], d.path)
		if err != nil {
			return nil, at(d.path, err)
		}
		sources[layer] = fd
		list, err := listing(fd, len(d.layers) > 1)
		if err != nil {
			return nil, at(d.path, err)
		}
		listings = append(listings, list)
	}
	to, err := openBeneath(w.target, d.path)
	if err != nil {
		return nil, at(d.path, err)
	}
	defer unix.Close(to)
	for _, p := range merge(d.layers, listings) {
		if err := w.ctx.Err(); err != nil {
			return nil, err
		}
		path := join(d.path, p.name)
		if err := w.make(sources[p.layers[0]], to, p, path); err != nil {
			return nil, at(path, err)
		}
		if p.stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			below = append(below, unread{path: path, layers: p.layers})
		}
	}
	return below, nil
}

// finish gives directories their times, which making what is in them changed, and measures
// them.
func (w *copier) finish() error {
	for _, d := range slices.Backward(w.dirs) {
		fd, err := openBeneath(w.target, d.path)
		if err != nil {
			return at(d.path, err)
		}
		err = setTimes(fd, d.stat)
		w.measure(fd)
		unix.Close(fd)
		if err != nil {
			return at(d.path, err)
		}
	}
	if err := unix.Fchown(w.target, int(w.owner(0)), int(w.owner(0))); err != nil {
		return err
	}
	w.measure(w.target)
	w.out.Files = len(w.dirs) + w.out.Files
	return unix.Fchmod(w.target, rootMode)
}

// owner is the machine's id of an id of the image.
func (w *copier) owner(id uint32) uint32 {
	const nobody = 65534
	switch {
	case w.Size == 0:
		return id
	case id < w.Size:
		return w.First + id
	}
	return w.First + min(nobody, w.Size-1)
}

// measure counts the blocks of a file of the copy.
func (w *copier) measure(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		w.out.Bytes += uint64(st.Blocks) * 512
	}
}

// listing reads a directory; marks tells whether opaque directories matter.
func listing(fd int, marks bool) ([]entry, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(again), "layer")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := make([]entry, 0, len(names))
	for _, name := range names {
		e := entry{name: name}
		if err := unix.Fstatat(fd, name, &e.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return nil, at(name, err)
		}
		e.opaque = marks && e.stat.Mode&unix.S_IFMT == unix.S_IFDIR && opaque(fd, name)
		out = append(out, e)
	}
	return out, nil
}

// openBeneath opens a directory below another one. No link is followed, in it or on the way,
// and the path may be longer than the kernel takes at once.
func openBeneath(root int, path string) (int, error) {
	how := &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	from := root
	for {
		part, rest := path, ""
		if len(path) >= unix.PathMax {
			cut := strings.LastIndexByte(path[:unix.PathMax-1], '/')
			part, rest = path[:cut], path[cut+1:]
		}
		fd, err := unix.Openat2(from, part, how)
		if err == unix.EINTR || err == unix.EAGAIN { // something was renamed meanwhile
			continue
		}
		if from != root {
			unix.Close(from)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		from, path = fd, rest
	}
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// at says where an error happened; long paths are shortened.
func at(path string, err error) error {
	if len(path) > 512 {
		path = path[:256] + "..." + path[len(path)-256:]
	}
	return fmt.Errorf("/%s: %w", path, err)
}
