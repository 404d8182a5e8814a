// Package files shows the sandboxes of an agent to operators: list, read, download.
//
// It promises that nothing outside an attached directory is ever opened, whatever links
// a task makes: each access goes through os.Root. It refuses paths that are not below an
// attached one with ErrNotFound.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agora.dev/agora/agent/containerlogger"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Errors of lookups.
var (
	ErrNotFound  = errors.New("file or directory cannot be found")
	ErrDirectory = errors.New("cannot read a directory")
)

// maxRead bounds one READ_FILE, in bytes.
const maxRead = 4 << 20

// Tree says which virtual paths are attached to which directories or files of the host.
type Tree func() map[string]string

// Attached finds the attached path that name is, or is below: the longest.
func (t Tree) Attached(name string) (at string, ok bool) {
	attached := t()
	for at = path.Clean("/" + name); ; at = path.Dir(at) {
		if _, ok := attached[at]; ok || at == "/" {
			return at, ok
		}
	}
}

// open finds the directory of the host that name is in.
func (t Tree) open(name string) (root *os.Root, rest, base string, err error) {
	name = path.Clean("/" + name)
	at, ok := t.Attached(name)
	if !ok {
		return nil, "", "", ErrNotFound
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(name, at), "/")
	target := t()[at]
	if info, err := os.Stat(target); err == nil && !info.IsDir() { // the log
		if rest != "" {
			return nil, "", "", ErrNotFound
		}
		target, rest = path.Dir(target), path.Base(target)
	}
	root, err = os.OpenRoot(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", "", ErrNotFound
	}
	if rest == "" {
		rest = "."
	}
	return root, rest, name, err
}

// Browse lists a directory; names are those of the request with the entry added.
func (t Tree) Browse(name string) ([]*mesos.FileInfo, error) {
	root, rest, base, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := root.Open(rest)
	if err != nil {
		return nil, classify(err)
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err != nil {
		return nil, classify(err)
	}
	if !info.IsDir() {
		return nil, ErrNotFound
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var out []*mesos.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		out = append(out, describe(path.Join(base, e.Name()), info))
	}
	slices.SortFunc(out, func(a, b *mesos.FileInfo) int { return strings.Compare(a.GetPath(), b.GetPath()) })
	return out, nil
}

func describe(name string, info fs.FileInfo) *mesos.FileInfo {
	size, mode := uint64(info.Size()), uint32(info.Mode().Perm())
	nanoseconds, links := info.ModTime().UnixNano(), int32(1)
	uid, gid := "", ""
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		links, mode = int32(st.Nlink), st.Mode
		uid, gid = userName(st.Uid), groupName(st.Gid)
	}
	return &mesos.FileInfo{
		Path: &name, Nlink: &links, Size: &size, Mode: &mode, Uid: &uid, Gid: &gid,
		Mtime: &mesos.TimeInfo{Nanoseconds: &nanoseconds},
	}
}

func userName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func groupName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}

// Open opens a regular file for reading.
func (t Tree) Open(name string) (*os.File, int64, error) {
	root, rest, _, err := t.open(name)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	// A named pipe must not hold up the agent.
	f, err := root.OpenFile(rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, classify(err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = ErrDirectory
	} else if err == nil && !info.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Read reads up to length bytes (negative: as many as one answer may hold) from offset.
// size is that of the whole file.
func (t Tree) Read(name string, offset, length int64) (data []byte, size int64, err error) {
	data, _, size, err = t.ReadFrom(name, offset, length, false)
	return data, size, err
}

// ReadFrom is Read; with skip it begins where there is data, behind the hole that a rotated file
// begins with, and from is where that is.
func (t Tree) ReadFrom(name string, offset, length int64, skip bool) (data []byte, from, size int64, err error) {
	f, size, err := t.Open(name)
	if err != nil {
		return nil, 0, 0, err
	}
	defer f.Close()
	if length < 0 || length > maxRead {
		length = maxRead
	}
	if skip {
		if offset, err = containerlogger.FirstData(f, offset); err != nil {
			return nil, 0, 0, fmt.Errorf("read %s: %w", name, err)
		}
	}
	if offset >= size {
		return nil, offset, size, nil
	}
	data = make([]byte, min(length, size-offset))
	n, err := f.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, offset, size, fmt.Errorf("read %s: %w", name, err)
	}
	return data[:n], offset, size, nil
}

// classify hides why a path leads nowhere: a link that leaves the sandbox is not found.
func classify(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return ErrNotFound
}
