package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"agora.dev/agora/internal/testkit/imagekit"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

func newStore(t *testing.T, config Config) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testImage(t *testing.T) v1.Image {
	t.Helper()
	base, err := imagekit.Tar(imagekit.File{Name: "etc/"}, imagekit.File{Name: "etc/a", Content: "lower"},
		imagekit.File{Name: "tmp/", Mode: 0o1777}, imagekit.File{Name: "gone/"}, imagekit.File{Name: "gone/x", Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	top, err := imagekit.Tar(imagekit.File{Name: "etc/.wh.a"}, imagekit.File{Name: "tmp/new", Content: "n"},
		imagekit.File{Name: "gone/"}, imagekit.File{Name: "gone/.wh..wh..opq"})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{Cmd: []string{"/bin/sh"}, Env: []string{"A=b"}}, base, top)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestPullFromARealRegistryGivesOverlayLayers(t *testing.T) {
	registry := startRegistry(t)
	ref := registry + "/team/app:1"
	if err := imagekit.Push(ref, testImage(t)); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := s.Pull(t.Context(), ref, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	root, err := s.RootFS(ref)
	if err != nil {
		t.Fatal(err)
	}
	checkTestImage(t, s, root)
	_, err = s.Pull(t.Context(), registry+"/team/app:none", nil, nil)
	if !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "\n") {
		t.Errorf("unknown tag: %v", err)
	}
	if pruned, err := s.Prune(t.Context(), nil); err != nil || pruned.Layers != 2 || pruned.Images != 1 {
		t.Errorf("prune: %+v, %v", pruned, err)
	}
	if _, err := s.RootFS(ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("after prune: %v", err)
	}
}

func checkTestImage(t *testing.T, s *Store, root RootFS) {
	t.Helper()
	if len(root.Layers) != 2 || len(root.Config.Cmd) != 1 {
		t.Fatalf("root: %+v", root)
	}
	top := root.Layers[1]
	var stat unix.Stat_t
	if err := unix.Lstat(filepath.Join(top, "etc/a"), &stat); err != nil || !isWhiteout(stat) {
		t.Errorf("whiteout: %v %+v", err, stat)
	}
	if info, err := os.Stat(filepath.Join(top, "tmp")); err != nil || info.Mode()&os.ModeSticky == 0 {
		t.Errorf("the implied /tmp has not the mode of the lower one: %v %v", info.Mode(), err)
	}
	attribute := opaqueTrusted
	if s.UserXattr() {
		attribute = opaqueUser
	}
	value := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(top, "gone"), attribute, value); err != nil || string(value[:n]) != "y" {
		t.Errorf("opaque: %q %v", value[:max(n, 0)], err)
	}
}

func TestLoadReadsDockerArchivesAndLayouts(t *testing.T) {
	image, dir := testImage(t), t.TempDir()
	archive, layout := filepath.Join(dir, "a.tar"), filepath.Join(dir, "layout")
	if err := errors.Join(imagekit.DockerArchive(archive, "example.org/app:1", image), imagekit.Layout(layout, image)); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{archive, layout} {
		s := newStore(t, Config{})
		images, err := s.Load(t.Context(), from)
		if err != nil || len(images) != 1 {
			t.Fatalf("%s: %v %v", from, images, err)
		}
		root, err := s.RootFS(images[0].Reference)
		if err != nil {
			t.Fatal(err)
		}
		checkTestImage(t, s, root)
	}
}

func TestUnreachableRegistryIsOneClearLine(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, err = newStore(t, Config{}).Pull(t.Context(), address+"/a:1", nil, nil)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), address) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestAWrongDigestLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	if err := imagekit.Layout(dir, testImage(t)); err != nil {
		t.Fatal(err)
	}
	blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	for _, blob := range blobs {
		data, _ := os.ReadFile(blob)
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			data[len(data)-1] ^= 1
			os.WriteFile(blob, data, 0o600)
		}
	}
	s := newStore(t, Config{})
	if _, err := s.Load(t.Context(), dir); err == nil {
		t.Fatal("a damaged layer was loaded")
	}
	for _, sub := range []string{layersDir, tmpDir, imagesDir} {
		if left, _ := os.ReadDir(s.path(sub)); len(left) != 0 {
			t.Errorf("%s holds %v", sub, left)
		}
	}
}

func TestHostileLayersAreRefused(t *testing.T) {
	long := strings.Repeat("d/", 300) + "f"
	cases := map[string][]tar.Header{
		"parent":             {{Name: "../x", Typeflag: tar.TypeReg}},
		"inner parent":       {{Name: "a/../../x", Typeflag: tar.TypeReg}},
		"absolute link":      {{Name: "l", Linkname: "/tmp", Typeflag: tar.TypeSymlink}, {Name: "l/x", Typeflag: tar.TypeReg}},
		"climbing link":      {{Name: "l", Linkname: "../..", Typeflag: tar.TypeSymlink}, {Name: "l/x", Typeflag: tar.TypeReg}},
		"hard link out":      {{Name: "h", Linkname: "../../../etc/passwd", Typeflag: tar.TypeLink}},
		"hard link by link":  {{Name: "l", Linkname: "/etc", Typeflag: tar.TypeSymlink}, {Name: "h", Linkname: "l/passwd", Typeflag: tar.TypeLink}},
		"whiteout of parent": {{Name: "a/.wh...", Typeflag: tar.TypeReg}},
		"whiteout of self":   {{Name: ".wh..", Typeflag: tar.TypeReg}},
		"whiteout by link":   {{Name: "l", Linkname: "/tmp", Typeflag: tar.TypeSymlink}, {Name: "l/.wh.x", Typeflag: tar.TypeReg}},
		"opaque by link":     {{Name: "l", Linkname: "/tmp", Typeflag: tar.TypeSymlink}, {Name: "l/.wh..wh..opq", Typeflag: tar.TypeReg}},
		"deep":               {{Name: long, Typeflag: tar.TypeReg}},
		"file as directory":  {{Name: "f", Typeflag: tar.TypeReg}, {Name: "f/x", Typeflag: tar.TypeReg}},
		"full directory":     {{Name: "d/x", Typeflag: tar.TypeReg}, {Name: "d", Typeflag: tar.TypeReg}},
		"huge owner":         {{Name: "f", Uid: 1 << 32, Typeflag: tar.TypeReg}},
		"root as file":       {{Name: "./", Linkname: "/etc", Typeflag: tar.TypeSymlink}},
	}
	for name, headers := range cases {
		t.Run(name, func(t *testing.T) {
			var archive bytes.Buffer
			w := tar.NewWriter(&archive)
			for _, h := range headers {
				h.Mode = 0o644
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			tree := filepath.Join(t.TempDir(), "tree")
			os.Mkdir(tree, 0o700)
			_, err := unpackTar(&archive, unpackConfig{tree: tree, limits: withDefaults(Config{}).Limits, userXattr: os.Geteuid() != 0})
			if !errors.Is(err, ErrHostile) {
				t.Errorf("got %v, want a refusal", err)
			}
			if left, _ := os.ReadDir(filepath.Dir(tree)); len(left) != 1 {
				t.Errorf("outside of the layer: %v", left)
			}
		})
	}
}

func TestANameThatComesTwiceIsWhatItWasLast(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range []tar.Header{{Name: "f", Typeflag: tar.TypeReg, Size: 1, Mode: 0o4755}, {Name: "f", Typeflag: tar.TypeReg, Mode: 0o600},
		{Name: "l", Linkname: "/etc", Typeflag: tar.TypeSymlink}, {Name: "l", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "l/x", Typeflag: tar.TypeReg, Mode: 0o600},
		{Name: "h", Linkname: "f", Typeflag: tar.TypeLink}, {Name: "h", Typeflag: tar.TypeReg, Size: 2, Mode: 0o600}} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(make([]byte, h.Size))
	}
	w.Close()
	tree := t.TempDir()
	if _, err := unpackTar(&archive, unpackConfig{tree: tree, limits: withDefaults(Config{}).Limits, userXattr: os.Geteuid() != 0}); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"f": 0, "l/x": 0, "h": 2} {
		if info, err := os.Lstat(filepath.Join(tree, name)); err != nil || info.Size() != size || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if info, err := os.Lstat(filepath.Join(tree, "l")); err != nil || !info.IsDir() {
		t.Errorf("l: %v, %v", info, err)
	}
}

func TestAHugeHeaderIsRefused(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	// A record of attributes of 2 MiB in front of an entry.
	body := strings.Repeat("a", 2<<20)
	w.WriteHeader(&tar.Header{Name: "PaxHeaders/f", Typeflag: tar.TypeReg, Size: int64(len(body))})
	w.Write([]byte(body))
	w.Close()
	data := archive.Bytes()
	data[156] = tar.TypeXHeader
	sum := 0
	copy(data[148:156], "        ")
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	_, err := unpackTar(bytes.NewReader(data), unpackConfig{tree: t.TempDir(), limits: withDefaults(Config{}).Limits, userXattr: os.Geteuid() != 0})
	if !errors.Is(err, ErrHostile) {
		t.Errorf("got %v", err)
	}
}

func TestBombsAreRefusedAtTheLimit(t *testing.T) {
	zeros, err := imagekit.Tar(imagekit.File{Name: "zeros", Content: strings.Repeat("\x00", 8<<20)})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{}, zeros)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bomb")
	if err := imagekit.Layout(dir, image); err != nil {
		t.Fatal(err)
	}
	for _, limits := range []Limits{{RatioFloor: 1 << 20}, {LayerBytes: 4 << 20}, {ImageBytes: 4 << 20}} {
		if _, err := newStore(t, Config{Limits: limits}).Load(t.Context(), dir); !errors.Is(err, ErrHostile) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}

func TestNodesAndPrivilegedAttributesAreLeftOut(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	w.WriteHeader(&tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3})
	w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability": "x", "SCHILY.xattr.trusted.overlay.opaque": "y"}})
	w.Close()
	tree := t.TempDir()
	out, err := unpackTar(&archive, unpackConfig{tree: tree, limits: withDefaults(Config{}).Limits, userXattr: os.Geteuid() != 0})
	if err != nil || out.note.Left != 3 {
		t.Fatalf("%+v %v", out, err)
	}
	if _, err := os.Lstat(filepath.Join(tree, "null")); !os.IsNotExist(err) {
		t.Errorf("the node was made: %v", err)
	}
	if info, err := os.Stat(filepath.Join(tree, "f")); err != nil || info.Mode()&os.ModeSetuid == 0 {
		t.Errorf("setuid: %v %v", info.Mode(), err)
	}
}

func TestBuiltinRootIsMadeOncePerBinary(t *testing.T) {
	s := newStore(t, Config{Executable: "/bin/true"})
	first, err := s.RootFS("builtin/demo")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.RootFS("builtin/shell")
	if err != nil || first.Layers[0] != second.Layers[0] || first.Config.Cmd[0] == second.Config.Cmd[0] {
		t.Errorf("%v %v %v", first, second, err)
	}
	if target, err := os.Readlink(filepath.Join(first.Layers[0], "bin/sh")); target != "agora" {
		t.Errorf("sh -> %q, %v", target, err)
	}
}

func TestReferencesAreReadAsDockerDoes(t *testing.T) {
	for text, want := range map[string]string{
		"busybox": "docker.io/library/busybox:latest", "a/b:1": "docker.io/a/b:1", "h:5000/a": "h:5000/a:latest",
		"localhost/a": "localhost/a:latest", "builtin/demo": "builtin/demo",
	} {
		got, err := ParseReference(text)
		if err != nil || got.String() != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "A", "a:", "a@sha256:1", "../a", "a/../b", "builtin/none", "-a", "a b"} {
		if got, err := ParseReference(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
}

func TestFullDiskIsNamed(t *testing.T) {
	err := describe(Reference{Registry: "r", Repository: "a", Tag: "1"}, fmt.Errorf("write: %w", unix.ENOSPC))
	if !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
}

func FuzzReference(f *testing.F) {
	f.Add("docker.io/library/busybox:latest")
	f.Fuzz(func(t *testing.T, text string) {
		if ref, err := ParseReference(text); err == nil {
			again, err := ParseReference(ref.String())
			if err != nil || again != ref {
				t.Errorf("%q: %v became %v, %v", text, ref, again, err)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	config := withDefaults(Config{})
	f.Fuzz(func(_ *testing.T, data []byte) {
		for _, mediaType := range []string{dockerManifest, dockerIndex} {
			if doc, err := decodeDocument(data, mediaType, config.Limits); err == nil {
				config.choose(doc)
			}
		}
		config.decodeConfig(data, 1)
	})
}

func FuzzTarLayer(f *testing.F) {
	seed, _ := imagekit.Tar(imagekit.File{Name: "a/.wh.b"}, imagekit.File{Name: "l", Link: "/etc"})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		tree := filepath.Join(outer, "tree")
		os.Mkdir(tree, 0o700)
		limits := withDefaults(Config{Limits: Limits{LayerBytes: 1 << 20, Entries: 100}}).Limits
		unpackTar(bytes.NewReader(data), unpackConfig{tree: tree, limits: limits, userXattr: os.Geteuid() != 0})
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Errorf("outside of the layer: %v", left)
		}
		removeTree(tree)
	})
}

func TestCancelledPullLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "layout")
	if err := imagekit.Layout(dir, testImage(t)); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{})
	if _, err := s.Load(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(s.path(tmpDir)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
