package images

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations name the manifest, and the index above it, by which an image was known where it
// was saved. The manifest names the same configuration, and so the same files, packed in
// another way.
const (
	annotationManifest = "dev.agora.image.manifest"
	annotationIndex    = "dev.agora.image.index"
)

// Save writes images as one archive that is both an OCI layout and what `docker save` writes:
// Load of another store, docker, podman and skopeo read it. Layers are in it as they were
// before they were packed, with their digests verified while they are written.
func (s *Store) Save(ctx context.Context, w io.Writer, refs ...string) error {
	release, err := s.lock(syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer release()
	a := &archiveWriter{ctx: ctx, store: s, tar: tar.NewWriter(w), written: map[string]bool{}}
	for _, ref := range refs {
		if err := a.image(ref); err != nil {
			return fmt.Errorf("save image %s: %w", ref, err)
		}
	}
	if err := a.finish(); err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	return nil
}

// archiveWriter writes blobs as it meets them, and says at the end which images they are.
type archiveWriter struct {
	ctx     context.Context
	store   *Store
	tar     *tar.Writer
	written map[string]bool
	index   []ocispec.Descriptor
	docker  []dockerEntry
}

// dockerEntry is an image in manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archiveWriter) image(ref string) error {
	parsed, err := a.store.parse(ref)
	if err != nil {
		return err
	}
	if parsed.Builtin {
		return errors.New("builtin images are in every agora: there is nothing to save")
	}
	image, err := a.store.readRecord(parsed.String())
	if err != nil {
		return err
	}
	config, err := a.store.readBlob(image.ID)
	if err != nil {
		return err
	}
	var decoded ocispec.Image
	if err := json.Unmarshal(config, &decoded); err != nil {
		return err
	}
	if len(decoded.RootFS.DiffIDs) != len(image.Layers) {
		return fmt.Errorf("its record has %d layers, its configuration %d: pull it again", len(image.Layers), len(decoded.RootFS.DiffIDs))
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.Digest(image.ID), Size: int64(len(config))}}
	entry := dockerEntry{RepoTags: []string{}}
	for i, diffID := range decoded.RootFS.DiffIDs {
		size, err := a.layer(image.Layers[i], string(diffID))
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: size})
		name, err := blobName(string(diffID))
		if err != nil {
			return err
		}
		entry.Layers = append(entry.Layers, name)
	}
	if err := a.blob(image.ID, config); err != nil {
		return err
	}
	if entry.Config, err = blobName(image.ID); err != nil {
		return err
	}
	if parsed.Tag != "" {
		entry.RepoTags = append(entry.RepoTags, strings.TrimSuffix(Familiar(image.Reference), ":"+parsed.Tag)+":"+parsed.Tag)
	}
	a.docker = append(a.docker, entry)
	return a.describe(image, parsed, manifest)
}

// describe adds the image to the index of the layout.
func (a *archiveWriter) describe(image *Image, ref Reference, manifest ocispec.Manifest) error {
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	own := digestOf(data)
	if err := a.blob(own, data); err != nil {
		return err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(own), Size: int64(len(data)),
		Platform: &ocispec.Platform{OS: image.OS, Architecture: image.Arch}, Annotations: map[string]string{annotationContainerd: image.Reference}}
	if ref.Tag != "" {
		d.Annotations[ocispec.AnnotationRefName] = ref.Tag
	}
	for annotation, known := range map[string]string{annotationManifest: image.Digest, annotationIndex: image.Index} {
		if known == "" {
			continue
		}
		original, err := a.store.readBlob(known)
		if err != nil {
			return fmt.Errorf("%s: %w: pull the image again", known, err)
		}
		var named document
		if annotation == annotationManifest && (json.Unmarshal(original, &named) != nil || named.Config == nil) {
			continue // of schema 1: it proves no configuration
		}
		d.Annotations[annotation] = known
		if err := a.blob(known, original); err != nil {
			return err
		}
	}
	a.index = append(a.index, d)
	return nil
}

// layer writes a layer's archive, made from its files and its tape.
func (a *archiveWriter) layer(chain, diffID string) (int64, error) {
	digits, err := hexOf(chain)
	if err != nil {
		return 0, err
	}
	note, err := a.store.readNote(digits)
	if err != nil {
		return 0, err
	}
	name, err := blobName(diffID)
	if err != nil || a.written[name] {
		return note.Archive, err
	}
	a.written[name] = true
	if note.Archive == 0 {
		return 0, fmt.Errorf("layer %s was unpacked by an older version: remove the image and pull it again", diffID)
	}
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: note.Archive}); err != nil {
		return 0, err
	}
	algorithm, sum := hashLike(diffID)
	out := &contextWriter{a.ctx, io.MultiWriter(a.tar, sum)}
	err = replay(a.store.path(layersDir, digits, tapeName), filepath.Join(a.store.path(layersDir, digits), layerTree), out)
	if err != nil {
		return 0, fmt.Errorf("layer %s: %w", diffID, err)
	}
	if got := algorithm + hex.EncodeToString(sum.Sum(nil)); got != diffID {
		return 0, fmt.Errorf("layer %s: %w: its files were changed, or its archive holds a name twice: pull the image again, or save it where it was built", diffID, ErrDigestMismatch)
	}
	return note.Archive, nil
}

func (a *archiveWriter) blob(digest string, data []byte) error {
	name, err := blobName(digest)
	if err != nil || a.written[name] {
		return err
	}
	a.written[name] = true
	return a.file(name, data)
}

func (a *archiveWriter) file(name string, data []byte) error {
	if err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := a.tar.Write(data)
	return err
}

func (a *archiveWriter) finish() error {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: a.index}
	for _, f := range []struct {
		name    string
		content any
	}{{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}}, {ocispec.ImageIndexFile, index}, {"manifest.json", a.docker}} {
		data, err := json.Marshal(f.content)
		if err != nil {
			return err
		}
		if err := a.file(f.name, data); err != nil {
			return err
		}
	}
	return a.tar.Close()
}

type contextWriter struct {
	ctx   context.Context
	inner io.Writer
}

func (w *contextWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.inner.Write(p)
}
