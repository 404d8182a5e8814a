package containerlogger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/sandboxes"
)

// lineBytes is how far back the end of a line is looked for.
const lineBytes = 64 << 10

// file is one that is rotated.
type file struct {
	*os.File
	dir   *os.Root
	name  string
	bound Bound
	info  fs.FileInfo
	start int64 // where its data begins
}

// Rotate bounds a file of a sandbox, if it has grown too long. size is the file's, holes included.
// What cannot be kept, because the disk is full or the task has put something in its way, is given
// up rather than the bound; the error says so.
func Rotate(sandbox, name string, bound Bound) (size int64, err error) {
	if bound.MaxBytes <= 0 {
		return 0, nil
	}
	var quick unix.Stat_t // one call for the many files that are short
	switch err := unix.Lstat(filepath.Join(sandbox, name), &quick); {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err == nil && quick.Size <= bound.MaxBytes:
		return quick.Size, nil
	}
	dir, err := sandboxes.Open(sandbox)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	info, err := dir.Lstat(name)
	if err != nil || info.Size() <= bound.MaxBytes {
		return sizeOf(info), ignoreMissing(err)
	}
	f, err := open(dir, name, info, bound)
	if err != nil {
		return info.Size(), fmt.Errorf("rotate %s: %w", name, err)
	}
	defer f.Close()
	if err := f.rotate(); err != nil {
		return info.Size(), fmt.Errorf("rotate %s: %w", name, err)
	}
	return info.Size(), nil
}

func sizeOf(info fs.FileInfo) int64 {
	if info == nil {
		return 0
	}
	return info.Size()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func open(dir *os.Root, name string, seen fs.FileInfo, bound Bound) (*file, error) {
	if !seen.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	opened, err := dir.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := &file{File: opened, dir: dir, name: name, bound: bound}
	if f.info, err = opened.Stat(); err == nil {
		stat, ok := f.info.Sys().(*syscall.Stat_t)
		if !ok || !os.SameFile(f.info, seen) || stat.Nlink != 1 {
			err = errors.New("it has another name, too, or was replaced")
		}
	}
	if err == nil {
		f.start, err = FirstData(opened, 0)
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return f, nil
}

// FirstData is where data begins in a file at or after an offset: behind a hole, and behind the
// zeros of the block that the hole ends in.
func FirstData(f *os.File, offset int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	at, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // nothing but a hole; more may have come since its size was seen
		return max(offset, info.Size()), nil
	case err != nil:
		return 0, err
	case at == offset && offset > 0, at == 0:
		return offset, nil
	}
	block := make([]byte, minBytes)
	n, err := f.ReadAt(block, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return at + int64(n-len(bytes.TrimLeft(block[:n], "\x00"))), nil
}

// rotate moves the head of the file away piece by piece until what stays is within the bound.
func (f *file) rotate() (err error) {
	size := f.info.Size()
	if size-f.start <= f.bound.MaxBytes {
		return nil
	}
	if whole := int64(f.bound.Keep+1) * f.bound.MaxBytes; size-f.start > whole {
		// A flood: of what was written since the last look only this much is kept.
		if err := f.drop(f.lineEnd(size - whole)); err != nil {
			return err
		}
	}
	for size-f.start > f.bound.MaxBytes {
		cut := f.lineEnd(f.start + f.bound.MaxBytes)
		if f.bound.Keep > 0 {
			err = errors.Join(err, f.keep(cut))
		}
		if dropped := f.drop(cut); dropped != nil {
			return errors.Join(err, dropped)
		}
	}
	return err
}

// lineEnd is the end of the last line before a place, or the place itself if there is none near.
func (f *file) lineEnd(at int64) int64 {
	from := max(f.start, at-lineBytes)
	text := make([]byte, at-from)
	n, err := f.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return at
	}
	if end := bytes.LastIndexByte(text[:n], '\n'); end >= 0 {
		return from + int64(end) + 1
	}
	return at
}

// drop makes everything before a place a hole. Writers append meanwhile.
func (f *file) drop(to int64) error {
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, to); err != nil {
		return fmt.Errorf("give back its head (the file system has no holes?): %w", err)
	}
	f.start = to
	return nil
}

// keep copies what is before a place to the first rotated file, after making room for it.
func (f *file) keep(cut int64) error {
	if err := f.shift(); err != nil {
		return err
	}
	to, err := f.dir.OpenFile(f.rotated(1), os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(f, f.start, cut-f.start))
	if stat, ok := f.info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		err = errors.Join(err, to.Chown(int(stat.Uid), int(stat.Gid)))
	}
	return errors.Join(err, to.Close())
}

// shift renames the rotated files, so that the first name is free.
func (f *file) shift() error {
	if err := f.dir.RemoveAll(f.rotated(f.bound.Keep)); err != nil {
		return err
	}
	for n := f.bound.Keep - 1; n > 0; n-- {
		if err := ignoreMissing(f.dir.Rename(f.rotated(n), f.rotated(n+1))); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) rotated(n int) string { return f.name + "." + strconv.Itoa(n) }
