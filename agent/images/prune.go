package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockPause is how often a Prune looks whether the pulls before it have ended.
const lockPause = 50 * time.Millisecond

// Prune removes every image, layer and document that is not excluded. An entry of
// excluded is a reference, or a directory of RootFS.Layers that a container still uses.
// It waits for the pulls of this and of other processes, or for the end of ctx.
func (s *Store) Prune(ctx context.Context, excluded []string) (Pruned, error) {
	release, err := s.lockExclusive(ctx)
	if err != nil {
		return Pruned{}, fmt.Errorf("prune images: %w", err)
	}
	defer release()
	keepRefs, keep := map[string]bool{}, map[string]bool{}
	for _, entry := range excluded {
		if filepath.IsAbs(entry) {
			keep[filepath.Base(filepath.Dir(filepath.Clean(entry)))] = true
		} else if parsed, err := s.parse(entry); err == nil {
			keepRefs[parsed.String()] = true
		}
	}
	var out Pruned
	if err := s.pruneRecords(keepRefs, keep, &out); err != nil {
		return out, fmt.Errorf("prune images: %w", err)
	}
	if err := s.pruneLayers(keep, &out); err != nil {
		return out, fmt.Errorf("prune images: %w", err)
	}
	return out, nil
}

func (s *Store) lockExclusive(ctx context.Context) (func(), error) {
	tick := time.NewTicker(lockPause)
	defer tick.Stop()
	for {
		release, err := s.lock(syscall.LOCK_EX | syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// pruneRecords removes image records, and collects what the kept ones need.
func (s *Store) pruneRecords(keepRefs, keep map[string]bool, out *Pruned) error {
	records, err := os.ReadDir(s.path(imagesDir))
	if err != nil {
		return err
	}
	for _, entry := range records {
		path := s.path(imagesDir, entry.Name())
		image, err := decodeRecord(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && keepRefs[image.Reference] {
			for _, digest := range append(image.Layers, image.ID, image.Digest, image.Index) {
				_, digits, _ := strings.Cut(digest, ":")
				keep[digits] = true
			}
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		out.Images++
	}
	blobs, err := os.ReadDir(s.path(blobsDir))
	if err != nil {
		return err
	}
	for _, entry := range blobs {
		if !keep[entry.Name()] {
			err = errors.Join(err, os.Remove(s.path(blobsDir, entry.Name())))
		}
	}
	return err
}

// pruneLayers moves each unused layer away before removing it, so that a crash in the
// middle leaves no half of a layer in its place.
func (s *Store) pruneLayers(keep map[string]bool, out *Pruned) error {
	layers, err := os.ReadDir(s.path(layersDir))
	if err != nil {
		return err
	}
	for _, entry := range layers {
		if keep[entry.Name()] {
			continue
		}
		note, _ := s.readNote(entry.Name())
		doomed, err := os.MkdirTemp(s.path(tmpDir), "prune-")
		if err != nil {
			return err
		}
		if err := os.Rename(s.path(layersDir, entry.Name()), filepath.Join(doomed, "layer")); err != nil {
			return err
		}
		if err := removeTree(doomed); err != nil {
			return err
		}
		out.Layers++
		out.Bytes += note.Size
	}
	return nil
}
