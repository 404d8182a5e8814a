// Package vfs is a file system small enough to be replaced by one that crashes.
//
// It promises that OS and Mem behave alike for the operations of FS, and that a crash of
// Mem leaves exactly what a process that dies at that operation leaves: everything
// before it, and of it a prefix. It refuses open files and permissions.
package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Entry is one name in a directory.
type Entry struct {
	Name string
	Dir  bool // a directory; a link is not one
}

// FS is a file system. Errors match fs.ErrNotExist where a name is absent.
type FS interface {
	MkdirAll(path string) error
	ReadFile(path string) ([]byte, error)
	// ReadDir lists a directory by name.
	ReadDir(path string) ([]Entry, error)
	// WriteFile creates or truncates; it is not atomic.
	WriteFile(path string, data []byte) error
	AppendFile(path string, data []byte) error
	Truncate(path string, size int64) error
	// Rename moves a file over another, or a directory to a name that is free.
	Rename(from, to string) error
	// Exchange puts a file in the place of another. When old, that one is beneath the first name then; else there was
	// none, or it is gone.
	Exchange(from, to string) (old bool, err error)
	Remove(path string) error
	RemoveAll(path string) error
	Symlink(target, path string) error
	Readlink(path string) (string, error)
	// Sync makes a file or directory survive loss of power.
	Sync(path string) error
}

// WriteAtomic replaces a file so that a reader, and a process that dies meanwhile, leaves the old or the new content. It
// survives loss of power.
func WriteAtomic(f FS, path string, data []byte) error {
	temporary := path + ".tmp"
	if err := f.WriteFile(temporary, data); err != nil {
		return err
	}
	if err := f.Sync(temporary); err != nil {
		return err
	}
	if err := f.Rename(temporary, path); err != nil {
		return err
	}
	return f.Sync(filepath.Dir(path))
}

// Replace moves a file over another, or to a name that is free. A process that dies meanwhile leaves the old or the new
// one, and may leave the old one beneath the first name. It does not survive loss of power.
func Replace(f FS, from, to string) error {
	old, err := f.Exchange(from, to)
	if old {
		err = f.Remove(from)
	}
	return err
}

// OS is the file system of the machine. Files are made for their owner only.
type OS struct{}

// MkdirAll makes a directory and its parents.
func (OS) MkdirAll(path string) error { return os.MkdirAll(path, 0o755) }

// ReadFile reads a file.
func (OS) ReadFile(path string) ([]byte, error) { return readFile(path) }

// ReadDir lists a directory.
func (OS) ReadDir(path string) ([]Entry, error) {
	list, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(list))
	for i, e := range list {
		out[i] = Entry{Name: e.Name(), Dir: e.Type()&fs.ModeDir != 0}
	}
	return out, nil
}

// WriteFile writes a file.
func (OS) WriteFile(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }

// AppendFile adds to the end of a file.
func (OS) AppendFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Truncate cuts a file.
func (OS) Truncate(path string, size int64) error { return os.Truncate(path, size) }

// Rename moves a file over another.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Exchange puts a file in the place of another, without waiting for the disk.
func (OS) Exchange(from, to string) (old bool, err error) { return exchange(from, to) }

// Remove removes a name; one that is absent is no error.
func (OS) Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll removes a tree.
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// Symlink makes a link, replacing one that is there.
func (o OS) Symlink(target, path string) error {
	temporary := path + ".tmp"
	if err := o.Remove(temporary); err != nil {
		return err
	}
	if err := os.Symlink(target, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// Readlink reads a link.
func (OS) Readlink(path string) (string, error) { return os.Readlink(path) }

// Sync flushes a file or directory to the disk.
func (OS) Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func sortEntries(list []Entry) {
	slices.SortFunc(list, func(a, b Entry) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
}
