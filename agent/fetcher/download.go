package fetcher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// download returns the content of an item as an open file that needs no name.
func (f *Fetcher) download(ctx context.Context, item item) (*os.File, error) {
	if item.url == nil {
		return openHost(item.file)
	}
	key := ""
	if item.cache && f.config.CacheDir != "" {
		sum := sha256.Sum256([]byte(item.url.String()))
		key = filepath.Join(f.config.CacheDir, hex.EncodeToString(sum[:]))
		if file, err := os.Open(key); err == nil {
			now := time.Now()
			_ = os.Chtimes(key, now, now) // the least recently used goes first
			return file, nil
		}
	}
	file, err := os.CreateTemp(f.config.CacheDir, ".fetch-")
	if err != nil {
		return nil, err
	}
	size, err := f.get(ctx, item, file)
	if err == nil && key != "" && size <= f.config.CacheSize {
		err = f.keep(file.Name(), key)
	} else {
		err = errors.Join(err, os.Remove(file.Name()))
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

// openHost opens a file of the agent's host; a pipe or device would block for ever.
func openHost(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a file", ErrRefused, path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// get downloads to w, and ends when nothing comes any more.
func (f *Fetcher) get(ctx context.Context, item item, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.config.StallAfter, func() {
		cancel(fmt.Errorf("%w: nothing came for %s", ErrStalled, f.config.StallAfter))
	})
	defer stalled.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, item.url.String(), nil)
	if err != nil {
		return 0, err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the server answered %s", response.Status)
	}
	if response.ContentLength > f.config.FileBytes {
		return 0, fmt.Errorf("%w: it has %d bytes, more than %d", ErrTooBig, response.ContentLength, f.config.FileBytes)
	}
	body := &tickingReader{response.Body, func() { stalled.Reset(f.config.StallAfter) }}
	n, err := io.Copy(w, io.LimitReader(body, f.config.FileBytes+1))
	if err == nil && n > f.config.FileBytes {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrTooBig, f.config.FileBytes)
	}
	return n, cause(ctx, err)
}

// cause prefers the reason of a cancelled context to the error that it led to.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

type tickingReader struct {
	inner io.Reader
	tick  func()
}

func (r *tickingReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	if n > 0 {
		r.tick()
	}
	return n, err
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
func (f *Fetcher) keep(from, key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.Rename(from, key); err != nil {
		return err
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
			total -= info.Size()
		}
	}
	return nil
}
