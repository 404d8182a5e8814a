// Package sandboxes owns how the agent reaches what is below a sandbox.
//
// The sandbox of a nested container lies in that of its parent, as containers/ID, and whoever runs in the parent may put something else in
// the place of either, while containers start. So nothing there is used by its path: the part above, which is the agent's own, is opened first, and the
// rest from there, without leaving it.
//
// It promises that whatever a task does to its sandbox, the agent reads, writes and makes nothing outside of it, and refuses links in the place of
// directories that the agent made.
package sandboxes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// containers is the directory of the sandboxes of nested containers in that of their parent.
const containers = "containers"

// Split gives the directory that is the agent's own, and the way from there to the sandbox of a nested container: pairs of containers/ID; "." for
// another one.
func Split(sandbox string) (base, below string) {
	base, below = filepath.Clean(sandbox), "."
	for {
		dir, id := filepath.Split(base)
		above, name := filepath.Split(filepath.Clean(dir))
		if name != containers || id == "" {
			return base, below
		}
		base, below = filepath.Clean(above), filepath.Join(containers, id, below)
	}
}

// Open opens a sandbox.
func Open(sandbox string) (*os.Root, error) {
	base, below := Split(sandbox)
	root, err := os.OpenRoot(base)
	if err != nil || below == "." {
		return root, err
	}
	defer root.Close()
	if err := directories(root, below); err != nil {
		return nil, err
	}
	return root.OpenRoot(below)
}

// Append opens a file of a sandbox to write at its end, or makes it; flags are further ones of open(2). The file itself is no link.
func Append(sandbox, name string, flags int) (*os.File, error) {
	base, below := Split(sandbox)
	dir, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	defer unix.Close(dir)
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC), Mode: 0o644,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, filepath.Join(below, name), how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(sandbox, name), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(sandbox, name)), nil
}

// directories refuses anything but directories on the way; what is exchanged later does not lead out of root either.
func directories(root *os.Root, below string) error {
	for at := ""; below != "" && below != "."; {
		var name string
		name, below, _ = strings.Cut(below, "/")
		at = filepath.Join(at, name)
		info, err := root.Lstat(at)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s in %s is not a directory", at, root.Name())
		}
	}
	return nil
}

// ClosedAbove is the first directory on the way to a path that strangers cannot pass; empty when there is none.
func ClosedAbove(path string) (string, error) {
	for i, char := range path {
		if char != '/' || i == 0 {
			continue
		}
		info, err := os.Stat(path[:i])
		if err != nil {
			return "", err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return path[:i], nil
		}
	}
	return "", nil
}

// Make makes the sandbox of a nested container below that of its parent, which is there, and gives it to a user; uid -1 gives it to nobody.
func Make(sandbox string, uid, gid int) error {
	parent, err := Open(filepath.Dir(filepath.Dir(sandbox)))
	if err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	defer parent.Close()
	name := filepath.Join(containers, filepath.Base(sandbox))
	if err := parent.MkdirAll(name, 0o755); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	if err := directories(parent, name); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	if uid < 0 {
		return nil
	}
	if err := parent.Lchown(name, uid, gid); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	return nil
}

// Link puts a link of a name that leads to target into a directory of a sandbox, in the place of an earlier one.
func Link(sandbox, dir, name, target string) error {
	root, err := Open(sandbox)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := directories(root, dir); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.Symlink(target, path)
}
