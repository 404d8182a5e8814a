package images

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Store is a content-addressed store of images in one directory. Its methods may be
// called from any goroutine, and several processes may have the same store open.
type Store struct {
	dir    string
	config Config
	// userXattr is set where trusted.* attributes cannot be written; overlay must then
	// be mounted with the option userxattr.
	userXattr bool

	pulls    flights[*Image]
	layers   flights[layerNoteFile]
	builtins flights[*Image]
	// executable is what builtin images are made of.
	executable hashed
	underway   underway
}

// Open opens the store in dir, making it if needed. What a crashed process left behind
// is removed.
func Open(dir string, config Config) (*Store, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w", dir, err)
	}
	s := &Store{dir: absolute, config: withDefaults(config)}
	for _, sub := range []string{"", blobsDir, layersDir, imagesDir, tmpDir} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("image store %s: %w", dir, err)
		}
	}
	// Only when nobody else works in the store is everything in tmp a leftover.
	if release, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB); err == nil {
		err = emptyDir(s.path(tmpDir))
		release()
		if err != nil {
			return nil, fmt.Errorf("image store %s: %w", dir, err)
		}
	}
	if err := s.probeXattr(); err != nil {
		return nil, fmt.Errorf("image store %s: %w", dir, err)
	}
	return s, nil
}

func withDefaults(c Config) Config {
	c.OS = cmp.Or(c.OS, "linux")
	c.Arch = cmp.Or(c.Arch, runtime.GOARCH)
	c.Executable = cmp.Or(c.Executable, "/proc/self/exe")
	l := &c.Limits
	l.LayerBytes = cmp.Or(l.LayerBytes, 64<<30)
	l.ImageBytes = cmp.Or(l.ImageBytes, 128<<30)
	l.Entries = cmp.Or(l.Entries, 2_000_000)
	l.Layers = cmp.Or(l.Layers, 256)
	l.Depth = cmp.Or(l.Depth, 256)
	l.Ratio = cmp.Or(l.Ratio, 250)
	l.RatioFloor = cmp.Or(l.RatioFloor, 64<<20)
	l.Document = cmp.Or(l.Document, 4<<20)
	l.StallAfter = cmp.Or(l.StallAfter, time.Minute)
	l.Parallelism = cmp.Or(l.Parallelism, 3)
	l.Retries = cmp.Or(l.Retries, 5)
	l.RetryAfter = cmp.Or(l.RetryAfter, 500*time.Millisecond)
	return c
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		err = errors.Join(err, removeTree(filepath.Join(dir, entry.Name())))
	}
	return err
}

// removeTree removes also what lies in directories that its owner may not write.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// probeXattr finds out which attribute can mark an opaque directory.
func (s *Store) probeXattr() error {
	probe, err := os.MkdirTemp(s.path(tmpDir), "probe-")
	if err != nil {
		return err
	}
	defer os.Remove(probe)
	s.userXattr = unix.Setxattr(probe, opaqueTrusted, []byte("y"), 0) != nil
	return nil
}

// UserXattr says that overlay must be mounted with the option userxattr, because this
// store was made without the privilege to write trusted.* attributes.
func (s *Store) UserXattr() bool { return s.userXattr }

// Dir is the store's directory.
func (s *Store) Dir() string { return s.dir }

// RootFS returns the layers and the configuration of an image in the store. Builtin
// images are made on first use.
func (s *Store) RootFS(ref string) (RootFS, error) {
	parsed, err := s.parse(ref)
	if err != nil {
		return RootFS{}, err
	}
	if parsed.Builtin {
		return s.builtinRootFS(context.Background(), parsed)
	}
	image, err := s.readRecord(parsed.String())
	if err != nil {
		return RootFS{}, err
	}
	root := RootFS{}
	for _, chain := range image.Layers {
		tree, err := s.layerTree(chain)
		if err != nil {
			return RootFS{}, err
		}
		if _, err := os.Lstat(tree); err != nil {
			return RootFS{}, fmt.Errorf("image %s: %w: its layer %s is gone: pull it again", ref, ErrNotFound, chain)
		}
		root.Layers = append(root.Layers, tree)
	}
	config, err := s.readBlob(image.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return RootFS{}, fmt.Errorf("image %s: %w: its configuration is gone: pull it again", ref, ErrNotFound)
	} else if err != nil {
		return RootFS{}, fmt.Errorf("image %s: %w", ref, err)
	}
	var document ocispec.Image
	if err := json.Unmarshal(config, &document); err != nil {
		return RootFS{}, fmt.Errorf("image %s: configuration: %w", ref, err)
	}
	root.Config = document.Config
	return root, nil
}

func (s *Store) layerTree(chain string) (string, error) {
	digits, err := hexOf(chain)
	if err != nil {
		return "", err
	}
	return s.path(layersDir, digits, layerTree), nil
}

// List returns the images of the store, by reference; the builtin ones come last.
func (s *Store) List() ([]*Image, error) {
	entries, err := os.ReadDir(s.path(imagesDir))
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var out []*Image
	for _, entry := range entries {
		image, err := decodeRecord(s.path(imagesDir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		out = append(out, image)
	}
	slices.SortFunc(out, func(a, b *Image) int { return strings.Compare(a.Reference, b.Reference) })
	for _, name := range BuiltinNames() {
		out = append(out, &Image{Reference: BuiltinPrefix + name, OS: s.config.OS, Arch: runtime.GOARCH, Builtin: true})
	}
	return out, nil
}

// Remove forgets an image. Its layers stay until the next Prune.
func (s *Store) Remove(ref string) error {
	parsed, err := s.parse(ref)
	if err != nil {
		return err
	}
	if parsed.Builtin {
		return fmt.Errorf("image %s: builtin images cannot be removed", ref)
	}
	err = os.Remove(s.recordPath(parsed.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("image %s: %w in the store: see `agora image ls`", ref, ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return nil
}
