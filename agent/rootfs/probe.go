package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Probe finds out whether a container can have an overlay of layers in one directory, with
// what it changes in another: it mounts one where nobody sees it, and uses it. The kernel
// refuses some file systems at the mount (overlay on overlay, NFS), and others at the first
// file that is removed (no attributes, no whiteouts). The error says why not.
func Probe(layers, changes string) error {
	for _, dir := range []string{layers, changes} {
		if strings.ContainsAny(dir, ",:\\") {
			return fmt.Errorf("overlayfs takes no path with a comma, colon or backslash: %s", dir)
		}
	}
	if same, err := sameFileSystem(layers, changes); err != nil {
		return err
	} else if same {
		layers = changes
	}
	lower, err := os.MkdirTemp(layers, ".probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(lower)
	upper, err := os.MkdirTemp(changes, ".probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(upper)
	for _, dir := range []string{filepath.Join(lower, "dir", "deep"), filepath.Join(upper, "upper"), filepath.Join(upper, "work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"changed", "removed", "dir/file"} {
		if err := os.WriteFile(filepath.Join(lower, file), []byte("x"), 0o644); err != nil {
			return err
		}
	}
	root, err := mountProbe(lower, upper)
	if err != nil {
		return fmt.Errorf("overlayfs cannot be mounted with %s as upper directory: %w", changes, err)
	}
	defer unix.Close(root)
	if err := try(root); err != nil {
		return fmt.Errorf("overlayfs with %s as upper directory: %w", changes, err)
	}
	return nil
}

// mountProbe names the directories by descriptors: their paths may be longer than what
// fsconfig takes.
func mountProbe(lower, upper string) (int, error) {
	var names [2]string
	for i, dir := range []string{lower, upper} {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		defer unix.Close(fd)
		names[i] = through(fd, "")
	}
	return mount([]string{names[0]}, names[1]+"upper", names[1]+"work")
}

func sameFileSystem(a, b string) (bool, error) {
	var of [2]unix.Stat_t
	for i, dir := range []string{a, b} {
		if err := unix.Stat(dir, &of[i]); err != nil {
			return false, &os.PathError{Op: "stat", Path: dir, Err: err}
		}
	}
	return of[0].Dev == of[1].Dev, nil
}

// mount makes an overlay that is attached to no place: it ends with its descriptor. Layers
// are given the uppermost first.
func mount(lower []string, upper, work string) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	options := [][2]string{{"lowerdir", strings.Join(lower, ":")}}
	if upper != "" {
		options = append(options, [2]string{"upperdir", upper}, [2]string{"workdir", work})
	}
	for _, o := range options {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return -1, told(fs, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, told(fs, err)
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// told adds what the kernel has to say about a mount that failed.
func told(fs int, cause error) error {
	text := make([]byte, 512)
	n, err := unix.Read(fs, text)
	if err != nil || n <= 2 {
		return cause
	}
	// After a letter for its kind.
	return fmt.Errorf("%w (%s)", cause, strings.TrimSpace(string(text[2:n])))
}

// try does what containers do to the files of their images.
func try(root int) error {
	file, err := unix.Openat(root, "changed", unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("change a file: %w", err)
	}
	_, err = unix.Write(file, []byte("y"))
	if err = errors.Join(err, unix.Close(file)); err != nil {
		return fmt.Errorf("change a file: %w", err)
	}
	if err := unix.Unlinkat(root, "removed", 0); err != nil {
		return fmt.Errorf("remove a file: %w", err)
	}
	for _, name := range []string{"dir/deep", "dir/file", "dir"} {
		flags := unix.AT_REMOVEDIR
		if name == "dir/file" {
			flags = 0
		}
		if err := unix.Unlinkat(root, name, flags); err != nil {
			return fmt.Errorf("remove a directory: %w", err)
		}
	}
	if err := unix.Mkdirat(root, "dir", 0o755); err != nil {
		return fmt.Errorf("make a directory in place of one that was removed: %w", err)
	}
	var st unix.Stat_t
	for _, name := range []string{"removed", "dir/file"} {
		if err := unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW); !errors.Is(err, unix.ENOENT) {
			return errors.New("what was removed is still there: its file system has no extended attributes, or no types in directories")
		}
	}
	return nil
}
