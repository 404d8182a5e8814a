package rootfs

import (
	"errors"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// make copies one name from a directory of a layer into one of the target.
func (w *copier) make(from, to int, p pick, path string) error {
	kind := p.stat.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		w.dirs = append(w.dirs, made{path: path, stat: p.stat})
		if err := unix.Mkdirat(to, p.name, 0o700); err != nil {
			return err
		}
		return w.attributes(from, to, p)
	}
	w.out.Files++
	key := inode{layer: p.layers[0], dev: p.stat.Dev, ino: p.stat.Ino}
	if p.stat.Nlink > 1 {
		if first, again := w.linked[key]; again {
			return w.link(first, to, p.name)
		}
	}
	if err := w.makeFile(from, to, p); err != nil {
		return err
	}
	if p.stat.Nlink > 1 {
		w.linked[key] = path
	}
	return nil
}

func (w *copier) makeFile(from, to int, p pick) error {
	switch kind := p.stat.Mode & unix.S_IFMT; kind {
	case unix.S_IFREG:
		return w.regular(from, to, p)
	case unix.S_IFLNK:
		target, err := readLink(from, p.name)
		if err != nil {
			return err
		}
		if err := unix.Symlinkat(target, to, p.name); err != nil {
			return err
		}
	default: // devices, pipes and sockets
		if err := unix.Mknodat(to, p.name, kind|0o600, int(p.stat.Rdev)); err != nil {
			return err
		}
	}
	if err := w.attributes(from, to, p); err != nil {
		return err
	}
	return setTimesAt(to, p.name, p.stat)
}

// link gives a file of the target one more name.
func (w *copier) link(first string, to int, name string) error {
	dir, base := ".", first
	if slash := strings.LastIndexByte(first, '/'); slash >= 0 {
		dir, base = first[:slash], first[slash+1:]
	}
	from, err := openBeneath(w.target, dir)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	return unix.Linkat(from, base, to, name, 0)
}

func (w *copier) regular(from, to int, p pick) error {
	src, err := unix.Openat(from, p.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := unix.Openat(to, p.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = w.fill(dst, src, p)
	if err == nil {
		err = setTimes(dst, p.stat)
	}
	w.measure(dst)
	return errors.Join(err, unix.Close(dst)) // some file systems tell of a full disk here
}

func (w *copier) fill(dst, src int, p pick) error {
	if err := w.content(dst, src, p); err != nil {
		return err
	}
	return w.attributesOf(dst, src, p.stat)
}

// content copies a file's bytes: as shared blocks where the file system has them, else
// what is not a hole.
func (w *copier) content(dst, src int, p pick) error {
	size := p.stat.Size
	if size == 0 {
		return nil
	}
	if layer := p.layers[0]; !w.uncloned[layer] {
		switch err := unix.IoctlFileClone(dst, src); err {
		case nil:
			return nil
		case unix.ENOSPC, unix.EDQUOT, unix.EIO:
			return err
		default:
			w.uncloned[layer] = true
		}
	}
	if p.stat.Blocks*512 >= size { // it has no holes
		return w.copyRange(dst, src, 0, size)
	}
	for offset := int64(0); offset < size; {
		data, err := unix.Seek(src, offset, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return w.copyRange(dst, src, 0, size) // it knows no holes
		}
		hole, err := unix.Seek(src, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := w.copyRange(dst, src, data, min(hole, size)); err != nil {
			return err
		}
		offset = hole
	}
	return unix.Ftruncate(dst, size)
}

// atOnce bounds what is copied before ctx is looked at.
const atOnce = 16 << 20

func (w *copier) copyRange(dst, src int, offset, end int64) error {
	for offset < end {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		in, out := offset, offset
		n, err := unix.CopyFileRange(src, &in, dst, &out, int(min(end-offset, atOnce)), 0)
		switch err {
		case nil, unix.EINTR:
		case unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EFBIG:
			return err
		default: // between these file systems it does not work
			return w.copyBytes(dst, src, offset, end)
		}
		if n == 0 && err == nil {
			return w.copyBytes(dst, src, offset, end)
		}
		offset += int64(max(n, 0))
	}
	return nil
}

func (w *copier) copyBytes(dst, src int, offset, end int64) error {
	if w.buffer == nil {
		w.buffer = make([]byte, 1<<20)
	}
	for offset < end {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Pread(src, w.buffer[:min(end-offset, int64(len(w.buffer)))], offset)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		for left := w.buffer[:n]; len(left) > 0; {
			m, err := unix.Pwrite(dst, left, offset)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			left, offset = left[m:], offset+int64(m)
		}
	}
	return nil
}

func readLink(dir int, name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}
