package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The map of a store's directory:
//
//	blobs/HEX      manifests and configurations, by digest
//	layers/HEX/    an unpacked layer, by chain id: fs/, record and tape
//	images/HEX     image records, by the sha256 of the reference
//	tmp/           work in progress; wiped by Open when nobody else works
//	lock           flock: shared by those who add, exclusive for those who remove
const (
	blobsDir  = "blobs"
	layersDir = "layers"
	imagesDir = "images"
	tmpDir    = "tmp"
	lockFile  = "lock"
	layerTree = "fs"
	layerNote = "record"
)

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// writeBlob stores a document under its digest.
func (s *Store) writeBlob(digest string, data []byte) error {
	digits, err := hexOf(digest)
	if err != nil {
		return err
	}
	return s.writeFile(s.path(blobsDir, digits), data)
}

// readBlob returns a document, after checking that it still is what its name says.
func (s *Store) readBlob(digest string) ([]byte, error) {
	digits, err := hexOf(digest)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(s.path(blobsDir, digits))
	if err != nil {
		return nil, err
	}
	if digestLike(digest, data) != digest {
		return nil, fmt.Errorf("blob %s: %w: remove the image and pull it again", digest, ErrDigestMismatch)
	}
	return data, nil
}

// writeFile replaces a small file so that a reader, or a crash, sees the old or the new.
func (s *Store) writeFile(path string, data []byte) error {
	file, err := os.CreateTemp(s.path(tmpDir), "file-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func (s *Store) recordPath(reference string) string {
	return s.path(imagesDir, strings.TrimPrefix(digestOf([]byte(reference)), "sha256:"))
}

func (s *Store) writeRecord(image *Image) error {
	data, err := json.Marshal(image)
	if err != nil {
		return err
	}
	return s.writeFile(s.recordPath(image.Reference), data)
}

// readRecord returns the image known by the reference, or ErrNotFound.
func (s *Store) readRecord(reference string) (*Image, error) {
	image, err := decodeRecord(s.recordPath(reference))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("image %s: %w in the store: pull or load it first", reference, ErrNotFound)
	}
	return image, err
}

func decodeRecord(path string) (*Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	image := new(Image)
	if err := json.Unmarshal(data, image); err != nil {
		return nil, fmt.Errorf("image record %s: %w", path, err)
	}
	return image, nil
}

// locked runs work under the store's lock; several processes may share a store.
func (s *Store) lock(how int) (release func(), err error) {
	file, err := os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}
