package fetcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// errUnchanged is the answer that what is in the cache is still what the server has.
var errUnchanged = errors.New("unchanged")

// validators are by what a server tells whether it still has the same.
type validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"lastModified,omitempty"`
}

func validatorsOf(response *http.Response) validators {
	return validators{ETag: response.Header.Get("ETag"), LastModified: response.Header.Get("Last-Modified")}
}

func (v validators) any() bool { return v != (validators{}) }

func (v validators) ask(request *http.Request) {
	if v.ETag != "" {
		request.Header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		request.Header.Set("If-Modified-Since", v.LastModified)
	}
}

// noteName is where the validators of a cached file are: beside it, hidden from the size.
func noteName(key string) string {
	return filepath.Join(filepath.Dir(key), ".note-"+filepath.Base(key))
}

// throughCache gives the cached file, after asking the server whether it has a newer one where
// it told how to ask. When it does not answer, what is there is good enough; not when it says
// that the file is gone or forbidden. Fetches of
// one URI take turns, so that the later ones find what the first has brought.
func (f *Fetcher) throughCache(ctx context.Context, item item, log io.Writer) (*os.File, error) {
	sum := sha256.Sum256([]byte(item.url.String()))
	key := filepath.Join(f.config.CacheDir, hex.EncodeToString(sum[:]))
	release, err := f.turn(ctx, key)
	if err != nil {
		return nil, err
	}
	defer release()
	cached, known := openCached(key)
	if cached != nil && !known.any() {
		return cached, nil
	}
	file, got, err := f.bring(ctx, item, known)
	if err != nil && cached != nil && ctx.Err() == nil && !decided(err) {
		if !errors.Is(err, errUnchanged) {
			fmt.Fprintf(log, "the cached copy of %s is used: %v\n", item.shown, err)
		}
		return cached, nil
	}
	if cached != nil {
		cached.Close()
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > f.config.CacheSize {
		return nameless(file)
	}
	if err == nil {
		err = f.keep(file.Name(), key, got)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		os.Remove(file.Name())
		file.Close()
		return nil, err
	}
	return file, nil
}

// decided tells answers by which the server says that the file is not to be had.
func decided(err error) bool {
	var status statusError
	return errors.As(err, &status) && status.code >= 400 && status.code < 500 && !passing(err)
}

func openCached(key string) (*os.File, validators) {
	var known validators
	file, err := os.Open(key)
	if err != nil {
		return nil, known
	}
	now := time.Now()
	_ = os.Chtimes(key, now, now) // the least recently used goes first
	if text, err := os.ReadFile(noteName(key)); err == nil && json.Unmarshal(text, &known) != nil {
		known = validators{}
	}
	return file, known
}

// turn waits until nobody else fetches for the key.
func (f *Fetcher) turn(ctx context.Context, key string) (release func(), err error) {
	for {
		f.mu.Lock()
		before := f.turns[key]
		if before == nil {
			mine := make(chan struct{})
			f.turns[key] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.turns, key)
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// cached are the files of the cache without those that are being downloaded, and their bytes.
func (f *Fetcher) cached() (infos []os.FileInfo, total int64, err error) {
	entries, err := os.ReadDir(f.config.CacheDir)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && entry.Name()[0] != '.' {
			infos = append(infos, info)
			total += info.Size()
		}
	}
	return infos, total, err
}

// keep puts a finished download into the cache and removes the least recently used
// files beyond its size. Who has one of them open keeps it.
func (f *Fetcher) keep(from, key string, got validators) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	note, err := json.Marshal(got)
	if err != nil {
		return err
	}
	// Without its note a file is as it is; with the note of another it would be taken for that.
	if err := os.Remove(noteName(key)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, key); err != nil {
		return err
	}
	if got.any() {
		if err := os.WriteFile(noteName(key), note, 0o600); err != nil {
			return err
		}
	}
	infos, total, err := f.cached()
	if err != nil {
		return err
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos {
		if total <= f.config.CacheSize {
			break
		}
		if path := filepath.Join(f.config.CacheDir, info.Name()); path != key && os.Remove(path) == nil {
			_ = os.Remove(noteName(path))
			total -= info.Size()
		}
	}
	return nil
}
