package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/images/builtin"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// builtinCommands are the builtin images and what they run; they share one root.
var builtinCommands = map[string][]string{
	"demo":   {"/bin/demo"},
	"shell":  {"/bin/sh"},
	"httpd":  {"/bin/httpd"},
	"sleep":  {"/bin/sleep", "1000000000"},
	"crash":  {"/bin/crash"},
	"stress": {"/bin/stress"},
}

// BuiltinNames returns the names after builtin/, sorted.
func BuiltinNames() []string { return slices.Sorted(maps.Keys(builtinCommands)) }

// builtinLayout changes when the tree of builtin images does.
const builtinLayout = "builtin-1"

func (s *Store) builtinRootFS(ctx context.Context, ref Reference) (RootFS, error) {
	image, err := s.builtin(ctx, ref)
	if err != nil {
		return RootFS{}, err
	}
	tree, err := s.layerTree(image.Layers[0])
	if err != nil {
		return RootFS{}, err
	}
	return RootFS{Layers: []string{tree}, Config: ocispec.ImageConfig{
		Cmd: builtinCommands[ref.Repository],
		Env: []string{"PATH=/bin", "HOME=/root", "TERM=xterm"},
	}}, nil
}

// builtin makes the layer of the running binary, once per binary.
func (s *Store) builtin(ctx context.Context, ref Reference) (*Image, error) {
	image, err := s.builtins.do(ctx, "", func(ctx context.Context) (*Image, error) {
		release, err := s.lock(syscall.LOCK_SH)
		if err != nil {
			return nil, err
		}
		defer release()
		return s.makeBuiltin(ctx)
	})
	if errors.Is(err, syscall.ENOSPC) {
		return nil, fmt.Errorf("image %s: %w: make room in %s", ref, ErrNoSpace, s.dir)
	} else if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	copied := *image
	copied.Reference, copied.ID = ref.String(), digestOf([]byte(image.Layers[0]+ref.String()))
	return &copied, nil
}

func (s *Store) makeBuiltin(ctx context.Context) (*Image, error) {
	binary, err := os.Open(s.config.Executable)
	if err != nil {
		return nil, err
	}
	defer binary.Close()
	info, err := binary.Stat()
	if err != nil {
		return nil, err
	}
	image := &Image{OS: "linux", Arch: runtime.GOARCH, Builtin: true, Size: info.Size(), Added: info.ModTime().UTC()}
	names := s.config.Applets
	if names == nil {
		names = builtin.Names()
	}
	if image.Layers, err = s.builtinLayer(ctx, binary, info, names); err != nil {
		return nil, err
	}
	return image, nil
}

// builtinLayer copies the binary: a container never executes the host's own file.
func (s *Store) builtinLayer(ctx context.Context, binary *os.File, info fs.FileInfo, names []string) ([]string, error) {
	sum, err := s.executable.digest(ctx, binary)
	if err != nil {
		return nil, err
	}
	chain := digestOf([]byte(builtinLayout + sum + strings.Join(names, " ")))
	digits, err := hexOf(chain)
	if err != nil {
		return nil, err
	}
	if _, err := s.readNote(digits); !errors.Is(err, fs.ErrNotExist) {
		return []string{chain}, err
	}
	work, err := os.MkdirTemp(s.path(tmpDir), "builtin-")
	if err != nil {
		return nil, err
	}
	if _, err = binary.Seek(0, io.SeekStart); err == nil {
		err = builtinTree(filepath.Join(work, layerTree), binary, names)
	}
	if err == nil {
		var note []byte
		note, err = json.Marshal(layerNoteFile{DiffID: chain, Size: info.Size(), Entries: len(names)})
		err = errors.Join(err, os.WriteFile(filepath.Join(work, layerNote), note, 0o600))
	}
	if err == nil {
		err = s.settle(work, s.path(layersDir, digits))
	}
	if err != nil {
		return nil, errors.Join(err, removeTree(work))
	}
	return []string{chain}, nil
}

// hashed remembers the digest of a file until another, or another content, is in its place: reading all of
// the binary would be most of the time that a container takes to start.
type hashed struct {
	mu   sync.Mutex
	seen fileState
	sum  string
}

// fileState changes when a file is replaced or written to.
type fileState struct {
	device, inode uint64
	size          int64
	change        syscall.Timespec
}

func (h *hashed) digest(ctx context.Context, file *os.File) (string, error) {
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: its state cannot be read", file.Name())
	}
	now := fileState{uint64(stat.Dev), stat.Ino, stat.Size, stat.Ctim}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sum != "" && h.seen == now {
		return h.sum, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &countingReader{ctx: ctx, inner: file, each: func(int64) {}}); err != nil {
		return "", err
	}
	h.seen, h.sum = now, hex.EncodeToString(sum.Sum(nil))
	return h.sum, nil
}

func builtinTree(tree string, binary io.Reader, names []string) error {
	for _, dir := range []string{"", "bin", "dev", "etc", "proc", "sys", "root", "run", "tmp", "var", "var/tmp", "mnt"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	target, err := os.OpenFile(filepath.Join(tree, "bin/agora"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, binary)
	if err = errors.Join(err, target.Chmod(0o555), target.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Symlink("agora", filepath.Join(tree, "bin", name)); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"etc/resolv.conf":   "",
		"etc/nsswitch.conf": "hosts: files dns\n",
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(tree, 0o755), os.Chmod(filepath.Join(tree, "tmp"), 0o777|os.ModeSticky), os.Chmod(filepath.Join(tree, "var/tmp"), 0o777|os.ModeSticky))
}
