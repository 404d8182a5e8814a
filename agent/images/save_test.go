package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"agora.dev/agora/internal/testkit/imagekit"
)

// odd is an image with all that an archive can hold beside plain files.
func odd(t *testing.T) v1.Image {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	long := strings.Repeat("long/", 40) + "name"
	for _, h := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "d/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 700, Uid: 12, Gid: 13},
		{Name: "d/attributes", Typeflag: tar.TypeReg, Mode: 0o444, Size: 1, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": capability(2), "SCHILY.xattr.trusted.x": "y"}},
		{Name: "d/hard", Linkname: "d/f", Typeflag: tar.TypeLink}, {Name: "d/soft", Linkname: "/etc/x", Typeflag: tar.TypeSymlink},
		{Name: "d/empty", Typeflag: tar.TypeReg}, {Name: "d/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, {Name: "d/pipe", Typeflag: tar.TypeFifo},
		{Name: long, Typeflag: tar.TypeReg, Size: 3}, {Name: "d/.wh.gone", Typeflag: tar.TypeReg},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(bytes.Repeat([]byte("z"), int(h.Size)))
	}
	w.Close()
	archive.Write(make([]byte, 7000)) // padding beyond the end
	base, err := imagekit.Tar(imagekit.File{Name: "d/"}, imagekit.File{Name: "d/gone", Content: "g"})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{Cmd: []string{"/x"}}, base, archive.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// capability is cap_net_bind_service of a version of the kernel's structure.
func capability(version byte) string {
	out := make([]byte, 20)
	out[0], out[3], out[5] = 1, version, 4
	return string(out)
}

func save(t *testing.T, s *Store, refs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.Save(t.Context(), file, refs...); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASavedImageIsTheSameInAnotherStore(t *testing.T) {
	registry := fakeRegistry(t, nil)
	image := odd(t)
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	byIndex, err := name.ParseReference(registry+"/team/app:2", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(imagekit.Push(registry+"/team/app:1", image), remote.WriteIndex(byIndex, index)); err != nil {
		t.Fatal(err)
	}
	imageDigest, _ := image.Digest()
	indexDigest, _ := index.Digest()
	refs := []string{registry + "/team/app:1", registry + "/team/app@" + imageDigest.String(), registry + "/team/app@" + indexDigest.String()}
	from, to := newStore(t, Config{}), newStore(t, Config{})
	for _, ref := range refs {
		if _, err := from.Pull(t.Context(), ref, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if pruned, err := from.Prune(t.Context(), refs); err != nil || pruned.Images != 0 {
		t.Fatalf("%+v, %v", pruned, err)
	}
	path := save(t, from, refs...)
	loaded, err := to.Load(t.Context(), path)
	if err != nil || len(loaded) != 3 {
		t.Fatalf("%v, %v", loaded, err)
	}
	for i, ref := range refs {
		want, err := from.readRecord(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got := loaded[i]; got.Reference != ref || got.ID != want.ID || got.Digest != want.Digest || got.Index != want.Index || strings.Join(got.Layers, " ") != strings.Join(want.Layers, " ") {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	// A store that was loaded can be saved from too.
	again := save(t, to, refs...)
	first, _ := os.ReadFile(path)
	second, _ := os.ReadFile(again)
	if !bytes.Equal(first, second) {
		t.Error("what was saved again differs")
	}
}

func TestASavedImageIsReadByOthers(t *testing.T) {
	registry := fakeRegistry(t, nil)
	ref := registry + "/team/app:1"
	image := odd(t)
	if err := imagekit.Push(ref, image); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{})
	if _, err := s.Pull(t.Context(), ref, nil, nil); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(save(t, s, ref), &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(read); err != nil {
		t.Error(err)
	}
	got, _ := read.ConfigName()
	if want, _ := image.ConfigName(); got != want {
		t.Errorf("its id became %s, was %s", got, want)
	}
}

func TestALayerWhoseFilesWereChangedIsNotSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	if err := imagekit.Layout(dir, testImage(t)); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{})
	images, err := s.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.RootFS(images[0].Reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root.Layers[0], "etc/a"), []byte("LOWER"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), io.Discard, images[0].Reference); !errors.Is(err, ErrDigestMismatch) {
		t.Errorf("got %v", err)
	}
	if err := s.Save(t.Context(), io.Discard, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := s.Save(t.Context(), io.Discard, "builtin/demo"); err == nil {
		t.Error("a builtin image was saved")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Save(ended, io.Discard, images[0].Reference); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestAnArchiveCannotTakeTheDigestOfAnotherImage loads what claims to be known by a digest.
func TestAnArchiveCannotTakeTheDigestOfAnotherImage(t *testing.T) {
	registry := fakeRegistry(t, nil)
	for tag, content := range map[string]string{"good": "a", "bad": "b"} {
		data, err := imagekit.Tar(imagekit.File{Name: "f", Content: content})
		if err != nil {
			t.Fatal(err)
		}
		image, err := imagekit.Image(v1.Config{}, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := imagekit.Push(registry+"/app:"+tag, image); err != nil {
			t.Fatal(err)
		}
	}
	s := newStore(t, Config{})
	good, err := s.Pull(t.Context(), registry+"/app:good", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), registry+"/app:bad", nil, nil); err != nil {
		t.Fatal(err)
	}
	// Both images, and with them the good one's manifest; the bad one then takes its name.
	path := save(t, s, registry+"/app:good", registry+"/app:bad")
	for _, proven := range []bool{false, true} {
		forged := rewriteIndex(t, path, func(index *ocispec.Index) {
			bad := index.Manifests[1]
			bad.Annotations = map[string]string{annotationContainerd: registry + "/app@" + good.Digest}
			if proven {
				bad.Annotations[annotationManifest] = good.Digest
			}
			index.Manifests = []ocispec.Descriptor{bad}
		})
		if loaded, err := newStore(t, Config{}).Load(t.Context(), forged); err == nil || !errors.Is(err, ErrDigestMismatch) && !errors.Is(err, ErrHostile) {
			t.Errorf("proven %v: loaded %v, %v", proven, loaded, err)
		}
	}
}

func rewriteIndex(t *testing.T, path string, change func(*ocispec.Index)) string {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	r, w := tar.NewReader(in), tar.NewWriter(&out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(r)
		if h.Name == ocispec.ImageIndexFile {
			var index ocispec.Index
			if err := json.Unmarshal(data, &index); err != nil {
				t.Fatal(err)
			}
			change(&index)
			data, _ = json.Marshal(index)
			h.Size = int64(len(data))
		}
		w.WriteHeader(h)
		w.Write(data)
	}
	w.Close()
	forged := filepath.Join(t.TempDir(), "forged.tar")
	if err := os.WriteFile(forged, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return forged
}

func TestCapabilitiesOfFilesAreKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: needs root to set capabilities of files")
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for file, version := range map[string]byte{"kept": 2, "of a namespace": 3, "odd": 9} {
		w.WriteHeader(&tar.Header{Name: file, Typeflag: tar.TypeReg, Mode: 0o755, Uid: 7, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": capability(version)}})
	}
	w.Close()
	tree := t.TempDir()
	out, err := unpackTar(&archive, unpackConfig{tree: tree, limits: withDefaults(Config{}).Limits})
	if err != nil || out.note.Left != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	value := make([]byte, 64)
	for file, want := range map[string]bool{"kept": true, "of a namespace": false, "odd": false} {
		n, err := unix.Getxattr(filepath.Join(tree, file), capabilityXattr, value)
		if (err == nil && string(value[:n]) == capability(2)) != want {
			t.Errorf("%s: %q, %v", file, value[:max(n, 0)], err)
		}
	}
}
