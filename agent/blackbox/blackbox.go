// Package blackbox keeps what is known of runs that have ended, after their sandboxes are gone: how they
// ended, what they used and the last that they wrote.
//
// It promises bounds: so many runs that failed, so many that ended well, and so many bytes of the output
// of each, the newest ones; and that a record is there wholly or not at all. It refuses to follow what a task
// left in its sandbox to anywhere else.
package blackbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"agora.dev/agora/agent/sandboxes"
	"agora.dev/agora/api/agora/postmortem"
	"golang.org/x/sys/unix"
)

// Bounds of what is kept. All records together are below 10 MB.
const (
	MaxFailed   = 200
	MaxFinished = 50
	// MaxOutput is what is kept of each of stdout and stderr, in bytes.
	MaxOutput = 16 << 10
)

// Files of a record's directory.
const (
	FileRecord = "record.json"
	FileStdout = "stdout"
	FileStderr = "stderr"
)

// Entry is a record and where it is.
type Entry struct {
	postmortem.Record
	Dir string
}

// Box is the place of the records.
type Box struct {
	dir     string
	mu      sync.Mutex
	entries []Entry // oldest first
}

// Open reads what is there. Records that cannot be read are removed.
func Open(dir string) (*Box, error) {
	b := &Box{dir: dir}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the black box: %w", err)
	}
	for _, e := range list { // by name: by time
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(filepath.Join(path, FileRecord))
		var r postmortem.Record
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			if err := os.RemoveAll(path); err != nil {
				return nil, fmt.Errorf("open the black box: %w", err)
			}
			continue
		}
		b.entries = append(b.entries, Entry{r, path})
	}
	return b, nil
}

// Entries lists the records, oldest first.
func (b *Box) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Add keeps a record with the end of what is in the sandbox's stdout and stderr. A container has one record:
// a restarted agent may see the same end again.
func (b *Box) Add(r postmortem.Record, sandbox string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.entries, func(e Entry) bool { return e.Container == r.Container }) {
		return nil
	}
	name := fmt.Sprintf("%020d-%s", r.Ended.UnixNano(), strings.ReplaceAll(r.Container, "/", "_"))
	if len(name) > 200 {
		name = name[:200]
	}
	path := filepath.Join(b.dir, name)
	if err := b.write(path, r, sandbox); err != nil {
		return fmt.Errorf("keep the record of container %s: %w", r.Container, err)
	}
	b.entries = append(b.entries, Entry{r, path})
	return b.prune()
}

// write makes the record last: without it a directory does not count.
func (b *Box) write(path string, r postmortem.Record, sandbox string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, name := range []string{FileStdout, FileStderr} {
		if err := os.WriteFile(filepath.Join(path, name), tail(sandbox, name), 0o600); err != nil {
			return err
		}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	whole := filepath.Join(path, FileRecord)
	if err := os.WriteFile(whole+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(whole+".new", whole)
}

// tail is the end of a file of a sandbox; empty when there is none. The sandbox is its task's: links that
// lead out of it are not followed, and what is no file is not read.
func tail(sandbox, name string) []byte {
	root, err := sandboxes.Open(sandbox)
	if err != nil {
		return nil
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if _, err := f.Seek(max(0, info.Size()-MaxOutput), io.SeekStart); err != nil {
		return nil
	}
	data, _ := io.ReadAll(io.LimitReader(f, MaxOutput)) // as much as there is
	return data
}

// prune removes the oldest beyond the bounds.
func (b *Box) prune() error {
	room := map[bool]int{true: MaxFailed, false: MaxFinished}
	var kept []Entry
	var errs error
	for _, e := range slices.Backward(b.entries) {
		if room[e.Failed]--; room[e.Failed] >= 0 {
			kept = append(kept, e)
		} else {
			errs = errors.Join(errs, os.RemoveAll(e.Dir))
		}
	}
	slices.Reverse(kept)
	b.entries = kept
	return errs
}
