// Package secrets resolves the secrets of tasks and keeps those that become files in
// memory until their container has them.
//
// It promises that no secret is written to a disk or to swap: files are on a ramfs that only
// root can enter and are removed when the container has started. It refuses to say a
// secret's content in an error.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	mesos "agora.dev/agora/api/mesos/v1"
	"golang.org/x/sys/unix"
)

// MaxSize bounds one secret.
const MaxSize = 1 << 20

// Files resolves references to files below Dir: the file Dir/NAME, or with a key
// Dir/NAME/KEY. Both are one path element. Files that others than their owner can read are
// refused.
type Files struct {
	Dir string // empty: every reference is refused
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// Resolve gives the content of a secret.
func (f Files) Resolve(_ context.Context, s *mesos.Secret) ([]byte, error) {
	switch s.GetType() {
	case mesos.Secret_VALUE:
		if s.GetValue() == nil {
			return nil, errors.New("secret of type VALUE without a value")
		}
		return s.GetValue().GetData(), nil
	case mesos.Secret_REFERENCE:
		return f.read(s.GetReference())
	}
	return nil, fmt.Errorf("secret of type %s: must be VALUE or REFERENCE", s.GetType())
}

func (f Files) read(r *mesos.Secret_Reference) ([]byte, error) {
	if f.Dir == "" {
		return nil, fmt.Errorf("secret %q: this agent resolves no references; start it with --secrets_dir", r.GetName())
	}
	name := r.GetName()
	if !validName.MatchString(name) || (r.Key != nil && !validName.MatchString(r.GetKey())) {
		return nil, fmt.Errorf("secret %q, key %q: must be letters, digits, '_', '.' and '-'", name, r.GetKey())
	}
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	defer root.Close()
	file, err := root.Open(filepath.Join(name, r.GetKey()))
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("secret %q: %w", name, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("secret %q, key %q: not a file", name, r.GetKey())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("secret %q: its file can be read by others (mode %04o); chmod it to 0600", name, info.Mode().Perm())
	case info.Size() > MaxSize:
		return nil, fmt.Errorf("secret %q: larger than %d bytes", name, MaxSize)
	}
	return io.ReadAll(io.LimitReader(file, MaxSize))
}

// Store holds the files of containers that are about to start.
type Store struct {
	dir string

	mu sync.Mutex
}

// NewStore uses the directory as the place of its ramfs.
func NewStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Clear removes what an earlier agent left. No container may be about to start.
func (s *Store) Clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for mounted(s.dir) {
		if err := unix.Unmount(s.dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("secrets: %w", err)
		}
	}
	return nil
}

// Put writes a file that only its owner can read, and returns its path.
func (s *Store) Put(container string, index int, content []byte, uid, gid uint32) (string, error) {
	if len(content) > MaxSize {
		return "", fmt.Errorf("secret larger than %d bytes", MaxSize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.hold(); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, container)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, strconv.Itoa(index))
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	return file, errors.Join(err, f.Chown(int(uid), int(gid)), f.Close())
}

// hold mounts the ramfs: unlike a tmpfs it is never swapped out. It is a peer group of its
// own, so that its end reaches the copies of the host's mounts that containers have.
func (s *Store) hold() error {
	if mounted(s.dir) {
		return nil
	}
	if err := unix.Mount("ramfs", s.dir, "ramfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return &os.PathError{Op: "mount ramfs", Path: s.dir, Err: err}
	}
	for _, kind := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", s.dir, "", kind, ""); err != nil {
			return errors.Join(&os.PathError{Op: "share", Path: s.dir, Err: err}, unix.Unmount(s.dir, unix.MNT_DETACH))
		}
	}
	return nil
}

// Drop removes the files of a container, which keeps what was bound into it.
func (s *Store) Drop(container string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !mounted(s.dir) {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(s.dir, container)); err != nil {
		return fmt.Errorf("secrets of container %s: %w", container, err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		return err
	}
	return unix.Unmount(s.dir, unix.MNT_DETACH)
}

func mounted(path string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
