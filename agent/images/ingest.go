package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// candidate is an image that some source offers. Nothing of it is trusted yet, except
// that config and manifest have the digests by which they were asked for.
type candidate struct {
	reference string
	digest    string // of the manifest; empty for docker archives
	manifest  []byte
	index     string // digest of the index that named the manifest; empty for none
	indexData []byte
	id        string // digest of config
	config    []byte
	layers    []layerSource
	progress  Progress
	spooled   []*os.File // layers that had to be fetched to be described

	decoded ocispec.Image
	chains  []string
	slots   chan struct{}
	mu      sync.Mutex
	created []string
}

// layerSource is where the packed bytes of a layer come from.
type layerSource struct {
	digest string // of the packed bytes; empty where only the diff id is known
	size   int64  // packed; -1 when unknown
	open   func(context.Context) (io.ReadCloser, error)
}

// layerNoteFile is kept beside an unpacked layer.
type layerNoteFile struct {
	DiffID  string `json:"diffID"`
	Size    int64  `json:"size"`
	Entries int    `json:"entries"`
	// Left counts device nodes and attributes that were not unpacked.
	Left int `json:"left,omitempty"`
	// Archive is the size of the archive that the tape and the files give back; 0 without a tape.
	Archive int64 `json:"archive,omitempty"`
}

// ingest makes the candidate an image of the store: all its layers, then the documents,
// then the record. What it made is removed again when it fails.
func (s *Store) ingest(ctx context.Context, c *candidate) (*Image, error) {
	decoded, err := s.config.decodeConfig(c.config, len(c.layers))
	if err != nil {
		return nil, err
	}
	release, err := s.lock(syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	c.decoded, c.slots = decoded, make(chan struct{}, s.config.Limits.Parallelism)
	parent := ""
	for _, id := range decoded.RootFS.DiffIDs {
		parent = chainID(parent, string(id))
		c.chains = append(c.chains, parent)
	}
	image, err := s.ingestLocked(ctx, c)
	release()
	if err != nil {
		s.discard(c.created)
		return nil, err
	}
	return image, nil
}

func (s *Store) ingestLocked(ctx context.Context, c *candidate) (*Image, error) {
	size, err := s.ensureLayers(ctx, c)
	if err != nil {
		return nil, err
	}
	if size > s.config.Limits.ImageBytes {
		return nil, refused("unpacked it has %d bytes, more than %d", size, s.config.Limits.ImageBytes)
	}
	if err := s.writeBlob(c.id, c.config); err != nil {
		return nil, err
	}
	if c.manifest != nil {
		if err := s.writeBlob(c.digest, c.manifest); err != nil {
			return nil, err
		}
	}
	if c.index != "" {
		if err := s.writeBlob(c.index, c.indexData); err != nil {
			return nil, err
		}
	}
	image := &Image{
		Reference: c.reference, ID: c.id, Digest: c.digest, Index: c.index, Layers: c.chains, Size: size,
		Added: time.Now().UTC(), OS: s.config.OS, Arch: s.config.Arch,
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return image, s.writeRecord(image)
}

// ensureLayers unpacks what is missing, several at once, and returns the whole size.
// The first error ends the others.
func (s *Store) ensureLayers(ctx context.Context, c *candidate) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	notes := make([]layerNoteFile, len(c.layers))
	for i := range c.layers {
		group.Go(func() {
			var err error
			if notes[i], err = s.ensureLayer(ctx, c, i); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	var size int64
	for _, note := range notes {
		size += note.Size
	}
	return size, nil
}

// ensureLayer returns when layer i and all below it are in place. Pulls that share the
// layer share the work.
func (s *Store) ensureLayer(ctx context.Context, c *candidate, i int) (layerNoteFile, error) {
	digits, err := hexOf(c.chains[i])
	if err != nil {
		return layerNoteFile{}, err
	}
	note, err := s.layers.do(ctx, c.chains[i], func(ctx context.Context) (layerNoteFile, error) {
		if note, err := s.readNote(digits); !errors.Is(err, fs.ErrNotExist) {
			return note, err
		}
		return s.makeLayer(ctx, c, i, digits)
	})
	if err == nil {
		source := c.layers[i]
		c.report(Event{Layer: source.name(c, i), Current: source.size, Total: source.size, Done: true})
	}
	return note, err
}

func (l layerSource) name(c *candidate, i int) string {
	if l.digest != "" {
		return l.digest
	}
	return string(c.decoded.RootFS.DiffIDs[i])
}

func (c *candidate) report(event Event) {
	if c.progress != nil {
		c.progress(event)
	}
}

// makeLayer unpacks beside the store's layers, and moves the layer into its place when
// it is complete and verified.
func (s *Store) makeLayer(ctx context.Context, c *candidate, i int, digits string) (note layerNoteFile, err error) {
	work, err := os.MkdirTemp(s.path(tmpDir), "layer-")
	if err != nil {
		return note, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(work))
		}
	}()
	tree := filepath.Join(work, layerTree)
	if err := os.Mkdir(tree, 0o755); err != nil {
		return note, err
	}
	unpacked, err := s.unpackSource(ctx, c, i, tree)
	if err != nil {
		return note, err
	}
	if i > 0 {
		if _, err := s.ensureLayer(ctx, c, i-1); err != nil {
			return note, err
		}
		if err := s.adoptParents(tree, unpacked.implied, c.chains[:i]); err != nil {
			return note, err
		}
	}
	data, err := json.Marshal(unpacked.note)
	if err != nil {
		return note, err
	}
	if err := os.WriteFile(filepath.Join(work, layerNote), data, 0o600); err != nil {
		return note, err
	}
	if err := s.settle(work, s.path(layersDir, digits)); err != nil {
		return note, err
	}
	c.mu.Lock()
	c.created = append(c.created, digits)
	c.mu.Unlock()
	return unpacked.note, nil
}

// settle makes a finished directory durable and gives it its place; when another
// process was faster, ours is dropped.
func (s *Store) settle(work, place string) error {
	dir, err := os.Open(work)
	if err != nil {
		return err
	}
	// A layer is trusted by its presence, so its files must not be lost with the power.
	err = unix.Syncfs(int(dir.Fd()))
	dir.Close()
	if err != nil {
		return err
	}
	err = os.Rename(work, place)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return removeTree(work)
	}
	return err
}

func (s *Store) unpackSource(ctx context.Context, c *candidate, i int, tree string) (unpacked, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return unpacked{}, context.Cause(ctx)
	}
	source := c.layers[i]
	name := source.name(c, i)
	packed, err := source.open(ctx)
	if err != nil {
		return unpacked{}, fmt.Errorf("layer %s: %w", name, err)
	}
	defer packed.Close()
	reader := &countingReader{ctx: ctx, inner: packed, each: func(n int64) {
		c.report(Event{Layer: name, Current: n, Total: source.size})
	}}
	out, err := unpackVerified(reader, source, string(c.decoded.RootFS.DiffIDs[i]), unpackConfig{
		tree: tree, tape: filepath.Join(filepath.Dir(tree), tapeName), limits: s.config.Limits, userXattr: s.userXattr,
	})
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	if err != nil {
		return out, fmt.Errorf("layer %s: %w", name, err)
	}
	return out, nil
}

func (s *Store) readNote(digits string) (layerNoteFile, error) {
	var note layerNoteFile
	data, err := os.ReadFile(s.path(layersDir, digits, layerNote))
	if err != nil {
		return note, err
	}
	return note, json.Unmarshal(data, &note)
}

// discard removes layers that a failed pull made, unless an image has come to use them
// or somebody else is working in the store: then the next Prune decides.
func (s *Store) discard(created []string) {
	if len(created) == 0 {
		return
	}
	release, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB)
	if err != nil {
		return
	}
	defer release()
	images, err := s.List()
	if err != nil {
		return
	}
	used := map[string]bool{}
	for _, image := range images {
		for _, chain := range image.Layers {
			digits, _ := hexOf(chain)
			used[digits] = true
		}
	}
	for _, digits := range created {
		if doomed, err := os.MkdirTemp(s.path(tmpDir), "discard-"); err == nil && !used[digits] {
			_ = os.Rename(s.path(layersDir, digits), filepath.Join(doomed, "layer"))
			_ = removeTree(doomed)
		} else if err == nil {
			_ = os.Remove(doomed)
		}
	}
}
