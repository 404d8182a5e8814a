package vfs

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"strings"
)

// ErrCrashed is returned by every operation of a Mem after its crash.
var ErrCrashed = errors.New("the process has died")

// Mem is a file system in memory whose process can die. It is not safe for concurrent
// use.
type Mem struct {
	files   map[string][]byte
	links   map[string]string
	dirs    map[string]bool
	writes  int // operations that changed something
	crashAt int // 0: never
	crashed bool
}

// NewMem makes an empty file system.
func NewMem() *Mem {
	return &Mem{files: map[string][]byte{}, links: map[string]string{}, dirs: map[string]bool{"/": true, ".": true}}
}

// Writes counts the changes so far.
func (m *Mem) Writes() int { return m.writes }

// CrashAt makes the process die in the n-th change from now (1: the next one).
func (m *Mem) CrashAt(n int) { m.crashAt = m.writes + n }

// Restart lets a new process look at what the last one left.
func (m *Mem) Restart() { m.crashed, m.crashAt = false, 0 }

// change counts a change; dying is true when the process ends in the middle of it.
func (m *Mem) change() (dying bool, err error) {
	if m.crashed {
		return false, ErrCrashed
	}
	m.writes++
	if m.crashAt != 0 && m.writes >= m.crashAt {
		m.crashed = true
		return true, ErrCrashed
	}
	return false, nil
}

// MkdirAll makes a directory and its parents.
func (m *Mem) MkdirAll(name string) error {
	name = path.Clean(name)
	if m.crashed {
		return ErrCrashed
	}
	if m.dirs[name] {
		return nil
	}
	if _, err := m.change(); err != nil {
		return err
	}
	for d := name; !m.dirs[d]; d = path.Dir(d) {
		m.dirs[d] = true
	}
	return nil
}

// ReadFile reads a file.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	if m.crashed {
		return nil, ErrCrashed
	}
	data, ok := m.files[path.Clean(name)]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return append([]byte(nil), data...), nil
}

// ReadDir lists a directory.
func (m *Mem) ReadDir(name string) ([]Entry, error) {
	name = path.Clean(name)
	if m.crashed {
		return nil, ErrCrashed
	}
	if !m.dirs[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	var out []Entry
	add := func(full string, dir bool) {
		if path.Dir(full) == name && full != name {
			out = append(out, Entry{Name: path.Base(full), Dir: dir})
		}
	}
	for d := range m.dirs {
		add(d, true)
	}
	for f := range m.files {
		add(f, false)
	}
	for l := range m.links {
		add(l, false)
	}
	sortEntries(out)
	return out, nil
}

// WriteFile writes a file; a crash leaves half of it.
func (m *Mem) WriteFile(name string, data []byte) error {
	return m.put(name, nil, data)
}

// AppendFile adds to a file; a crash leaves half of what was added.
func (m *Mem) AppendFile(name string, data []byte) error {
	return m.put(name, m.files[path.Clean(name)], data)
}

func (m *Mem) put(name string, before, data []byte) error {
	name = path.Clean(name)
	if !m.dirs[path.Dir(name)] && !m.crashed {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	dying, err := m.change()
	if dying {
		data = data[:len(data)/2]
	}
	if err == nil || dying {
		m.files[name] = append(append([]byte(nil), before...), data...)
	}
	return err
}

// Truncate cuts a file.
func (m *Mem) Truncate(name string, size int64) error {
	name = path.Clean(name)
	if _, err := m.change(); err != nil {
		return err
	}
	if int64(len(m.files[name])) > size {
		m.files[name] = m.files[name][:size]
	}
	return nil
}

// Rename moves a file.
func (m *Mem) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	if _, err := m.change(); err != nil {
		return err
	}
	if m.dirs[from] {
		m.renameTree(from, to)
		return nil
	}
	data, ok := m.files[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(m.files, from)
	m.files[to] = data
	return nil
}

// Exchange puts a file in the place of another.
func (m *Mem) Exchange(from, to string) (old bool, err error) {
	from, to = path.Clean(from), path.Clean(to)
	data, old := m.files[to]
	if err := m.Rename(from, to); err != nil || !old {
		return false, err
	}
	m.files[from] = data
	return true, nil
}

// renameTree moves a directory with all that is in it, at once.
func (m *Mem) renameTree(from, to string) {
	move(m.files, from, to)
	move(m.links, from, to)
	move(m.dirs, from, to)
}

func move[T any](names map[string]T, from, to string) {
	moved := map[string]T{}
	for name, value := range names {
		if name == from || strings.HasPrefix(name, from+"/") {
			moved[to+strings.TrimPrefix(name, from)] = value
			delete(names, name)
		}
	}
	maps.Copy(names, moved)
}

// Remove removes a file or link.
func (m *Mem) Remove(name string) error {
	name = path.Clean(name)
	if _, err := m.change(); err != nil {
		return err
	}
	delete(m.files, name)
	delete(m.links, name)
	return nil
}

// RemoveAll removes a tree; a crash leaves some of its files.
func (m *Mem) RemoveAll(name string) error {
	name = path.Clean(name)
	dying, err := m.change()
	if err != nil && !dying {
		return err
	}
	in := func(p string) bool { return p == name || strings.HasPrefix(p, name+"/") }
	for f := range m.files {
		if in(f) && (!dying || len(f)%2 == 0) {
			delete(m.files, f)
		}
	}
	if dying {
		return err
	}
	for l := range m.links {
		if in(l) {
			delete(m.links, l)
		}
	}
	for d := range m.dirs {
		if in(d) {
			delete(m.dirs, d)
		}
	}
	return nil
}

// Symlink makes or replaces a link.
func (m *Mem) Symlink(target, name string) error {
	if _, err := m.change(); err != nil {
		return err
	}
	m.links[path.Clean(name)] = target
	return nil
}

// Readlink reads a link.
func (m *Mem) Readlink(name string) (string, error) {
	if m.crashed {
		return "", ErrCrashed
	}
	target, ok := m.links[path.Clean(name)]
	if !ok {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrNotExist}
	}
	return target, nil
}

// Sync does nothing: what was written survives the process anyway.
func (m *Mem) Sync(string) error {
	if m.crashed {
		return ErrCrashed
	}
	return nil
}
