package images

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// bundle is a set of named files: an archive, or a directory.
type bundle struct {
	open  func(name string) (io.ReadCloser, int64, error)
	close func()
}

// Load adds the images of a `docker save` archive or of an OCI layout, which may be a
// directory or an archive, gzip or zstd packed too. Images without a name are known by
// localhost/NAME-OF-THE-FILE.
func (s *Store) Load(ctx context.Context, from string) ([]*Image, error) {
	out, err := s.load(ctx, from)
	if errors.Is(err, fs.ErrNotExist) {
		return out, fmt.Errorf("load image %s: %w: it is neither a docker archive nor an OCI layout, or does not exist (%s)", from, ErrNotFound, oneLine(err))
	} else if errors.Is(err, syscall.ENOSPC) {
		return out, fmt.Errorf("load image %s: %w: make room in %s", from, ErrNoSpace, s.dir)
	} else if err != nil {
		return out, fmt.Errorf("load image %s: %w", from, err)
	}
	return out, nil
}

func (s *Store) load(ctx context.Context, from string) ([]*Image, error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	var b bundle
	if info.IsDir() {
		b, err = directory(from)
	} else {
		b, err = s.archive(ctx, from)
	}
	if err != nil {
		return nil, err
	}
	defer b.close()
	candidates, err := s.candidates(b, from)
	if err != nil {
		return nil, err
	}
	var out []*Image
	for _, c := range candidates {
		image, err := s.ingest(ctx, c)
		if err != nil {
			return out, err
		}
		out = append(out, image)
	}
	return out, nil
}

// loadNamed brings in the archive of an image from the directory of archives: NAME.tar, or
// NAME:TAG.tar. What it is called inside does not count when it is the only one.
func (s *Store) loadNamed(ctx context.Context, ref Reference, text string) (*Image, error) {
	var err error
	for _, name := range []string{text, Familiar(ref.String()), strings.TrimPrefix(ref.String(), "docker.io/library/")} {
		from := filepath.Join(s.config.Archives, name+".tar")
		var b bundle
		if b, err = s.archive(ctx, from); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("load image %s: %w", from, err)
		}
		defer b.close()
		image, err := s.loadOne(ctx, b, from, ref)
		if err != nil {
			return nil, fmt.Errorf("load image %s: %w", from, err)
		}
		return image, nil
	}
	return nil, fmt.Errorf("image %s: %w in %s: save it there as %s.tar", text, ErrNotFound, s.config.Archives, text)
}

func (s *Store) loadOne(ctx context.Context, b bundle, from string, ref Reference) (*Image, error) {
	candidates, err := s.candidates(b, from)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if c.reference == ref.String() || len(candidates) == 1 {
			c.reference = ref.String()
			return s.ingest(ctx, c)
		}
	}
	return nil, fmt.Errorf("%w in the archive, which holds %d others", ErrNotFound, len(candidates))
}

// candidates prefers the OCI layout, which new docker archives are too: its digests are
// checked before anything is unpacked.
func (s *Store) candidates(b bundle, from string) ([]*candidate, error) {
	index, err := s.document(b, ocispec.ImageIndexFile)
	if err == nil {
		return s.ociCandidates(b, index, from)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	manifest, err := s.document(b, "manifest.json")
	if err != nil {
		return nil, err
	}
	return s.dockerCandidates(b, manifest, from)
}

// document reads a small file of a bundle.
func (s *Store) document(b bundle, name string) ([]byte, error) {
	file, size, err := b.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > s.config.Limits.Document {
		return nil, refused("%s of %d bytes is larger than %d", name, size, s.config.Limits.Document)
	}
	return io.ReadAll(io.LimitReader(file, s.config.Limits.Document))
}

func (s *Store) verified(b bundle, d ocispec.Descriptor) ([]byte, error) {
	name, err := blobName(string(d.Digest))
	if err != nil {
		return nil, err
	}
	data, err := s.document(b, name)
	if got := digestLike(string(d.Digest), data); err == nil && got != string(d.Digest) {
		err = fmt.Errorf("%w: %s is %s", ErrDigestMismatch, d.Digest, got)
	}
	return data, err
}

func (s *Store) ociCandidates(b bundle, index []byte, from string) ([]*candidate, error) {
	doc, err := decodeDocument(index, ocispec.MediaTypeImageIndex, s.config.Limits)
	if err != nil {
		return nil, err
	}
	var out []*candidate
	for _, d := range doc.Manifests {
		reference, err := layoutName(d, from)
		if err != nil {
			return nil, err
		}
		c, err := s.ociCandidate(b, d)
		if err == nil {
			err = s.restore(b, c, d)
		}
		if err == nil {
			err = c.checkName(reference)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", reference, err)
		}
		c.reference = reference.String()
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, refused("the layout holds no image")
	}
	return out, nil
}

// layoutName reads the annotations by which containerd and the specification name images.
func layoutName(d ocispec.Descriptor, from string) (Reference, error) {
	name := d.Annotations[annotationContainerd]
	if tag := d.Annotations[ocispec.AnnotationRefName]; name == "" && tag != "" {
		name = tag
		if !strings.ContainsAny(tag, "/:") {
			name = "localhost/" + baseName(from) + ":" + tag
		}
	}
	if name == "" {
		name = "localhost/" + baseName(from)
	}
	return ParseReference(name)
}

const annotationContainerd = "io.containerd.image.name"

func baseName(from string) string {
	base, _, _ := strings.Cut(path.Base(strings.TrimRight(from, "/")), ".")
	clean := strings.Trim(strings.Map(func(r rune) rune {
		if r < 128 && alphanumeric(byte(r)) {
			return r
		}
		return '-'
	}, strings.ToLower(base)), "-")
	if clean == "" {
		return "loaded"
	}
	return clean
}

func (s *Store) ociCandidate(b bundle, d ocispec.Descriptor) (*candidate, error) {
	for range 4 {
		data, err := s.verified(b, d)
		if err != nil {
			return nil, err
		}
		doc, err := decodeDocument(data, d.MediaType, s.config.Limits)
		if err != nil {
			return nil, err
		}
		if isIndex(d.MediaType) {
			if d, err = s.config.choose(doc); err != nil {
				return nil, err
			}
			continue
		}
		c := &candidate{digest: string(d.Digest), manifest: data, id: string(doc.Config.Digest)}
		if c.config, err = s.verified(b, *doc.Config); err != nil {
			return nil, err
		}
		for _, layer := range doc.Layers {
			name, err := blobName(string(layer.Digest))
			if err != nil {
				return nil, err
			}
			c.layers = append(c.layers, layerSource{digest: string(layer.Digest), size: layer.Size, open: b.opener(name)})
		}
		return c, nil
	}
	return nil, refused("its indexes are nested deeper than 4")
}

func (b bundle) opener(name string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		file, _, err := b.open(name)
		return file, err
	}
}

// dockerCandidates reads the manifest.json of `docker save`.
func (s *Store) dockerCandidates(b bundle, manifest []byte, from string) ([]*candidate, error) {
	var entries []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(manifest, &entries); err != nil {
		return nil, refused("manifest.json is not valid: %s", oneLine(err))
	}
	var out []*candidate
	for _, entry := range entries {
		config, err := s.document(b, entry.Config)
		if err != nil {
			return nil, err
		}
		if len(entry.Layers) > s.config.Limits.Layers {
			return nil, refused("it has %d layers", len(entry.Layers))
		}
		tags := entry.RepoTags
		if len(tags) == 0 {
			tags = []string{"localhost/" + baseName(from)}
		}
		for _, tag := range tags {
			ref, err := ParseReference(tag)
			if err != nil {
				return nil, err
			}
			c := &candidate{reference: ref.String(), config: config, id: digestOf(config)}
			if err := c.checkName(ref); err != nil {
				return nil, err
			}
			for _, layer := range entry.Layers {
				c.layers = append(c.layers, layerSource{size: -1, open: b.opener(layer)})
			}
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, refused("the archive holds no image")
	}
	return out, nil
}

// directory opens files beneath a directory only.
func directory(dir string) (bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return bundle{}, err
	}
	return bundle{close: func() { root.Close() }, open: func(name string) (io.ReadCloser, int64, error) {
		file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, 0, err
		}
		info, err := file.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = refused("%s is not a file", name)
		}
		if err != nil {
			file.Close()
			return nil, 0, err
		}
		return file, info.Size(), nil
	}}, nil
}

// archive indexes a tar file, unpacking it first when it is packed.
func (s *Store) archive(ctx context.Context, from string) (bundle, error) {
	file, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return bundle{}, err
	}
	plain, err := s.plain(ctx, file)
	if plain != file {
		file.Close()
	}
	if err != nil {
		return bundle{}, err
	}
	b, err := s.indexArchive(plain)
	if err != nil {
		plain.Close()
	}
	return b, err
}

// plain returns the archive itself, or an unpacked copy that has no name any more.
func (s *Store) plain(ctx context.Context, file *os.File) (*os.File, error) {
	var magic [4]byte
	if _, err := io.ReadFull(file, magic[:]); err != nil {
		return nil, refused("archive is broken: %s", oneLine(err))
	}
	if magic[0] != 0x1f && magic[0] != 0x28 {
		return file, nil
	}
	return s.unpackedCopy(ctx, file)
}

func (s *Store) unpackedCopy(ctx context.Context, file *os.File) (*os.File, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	counted := &countingReader{ctx: ctx, inner: file, each: func(int64) {}}
	reader, err := decompress(counted)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	copied, err := os.CreateTemp(s.path(tmpDir), "archive-")
	if err != nil {
		return nil, err
	}
	os.Remove(copied.Name())
	guard := &limitReader{inner: reader, packed: counted, limits: s.config.Limits}
	if _, err := io.Copy(copied, guard); err != nil {
		copied.Close()
		return nil, archiveError(err)
	}
	return copied, nil
}

// limitReader bounds the unpacking of a whole archive.
type limitReader struct {
	inner  io.Reader
	packed *countingReader
	limits Limits
	count  int64
}

func (r *limitReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	r.count += int64(n)
	if r.count > r.limits.ImageBytes || r.count > r.limits.RatioFloor && r.count/r.limits.Ratio > r.packed.count {
		return n, refused("the archive unpacks to too much")
	}
	return n, err
}

// indexArchive notes where each file of the archive is, so that none has to be copied.
func (s *Store) indexArchive(file *os.File) (bundle, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return bundle{}, err
	}
	type place struct{ offset, size int64 }
	places, links := map[string]place{}, map[string]string{}
	reader := tar.NewReader(file)
	for entries := 0; ; entries++ {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return bundle{}, archiveError(err)
		}
		if entries > s.config.Limits.Entries/20 {
			return bundle{}, refused("the archive has more than %d files", entries)
		}
		name := path.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			offset, err := file.Seek(0, io.SeekCurrent)
			if err != nil {
				return bundle{}, err
			}
			places[name] = place{offset, header.Size}
		case tar.TypeSymlink: // old archives link equal layers
			links[name] = path.Join(path.Dir(name), header.Linkname)
		case tar.TypeLink:
			links[name] = path.Clean(header.Linkname)
		}
	}
	return bundle{close: func() { file.Close() }, open: func(name string) (io.ReadCloser, int64, error) {
		name = path.Clean(name)
		if target, ok := links[name]; ok {
			name = target
		}
		at, ok := places[name]
		if !ok {
			return nil, 0, fmt.Errorf("%.200q in the archive: %w", name, fs.ErrNotExist)
		}
		return io.NopCloser(io.NewSectionReader(file, at.offset, at.size)), at.size, nil
	}}, nil
}
