package images

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A tape is what of a layer's archive is not in its unpacked files: headers, padding, and
// the content of entries that were left out. With the files it gives back the archive, byte
// for byte. It is a zstd stream of records, each a kind and a length, and the bytes or the
// name of a file:
//
//	0 LENGTH BYTES         as they are
//	1 SIZE LENGTH NAME     the first SIZE bytes of the file
const (
	tapeBytes = 0
	tapeFile  = 1
	tapeName  = "tape"
)

// tape records a layer's archive while it is unpacked from it.
type tape struct {
	inner  io.Reader
	packed *zstd.Encoder
	file   *os.File
	// elsewhere is set while what is read goes to a file.
	elsewhere bool
	err       error
	size      int64 // of the archive
}

func newTape(path string, inner io.Reader) (*tape, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	packed, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(512<<10))
	if err != nil {
		file.Close()
		return nil, err
	}
	return &tape{inner: inner, packed: packed, file: file}, nil
}

func (t *tape) Read(p []byte) (int, error) {
	n, err := t.inner.Read(p)
	t.size += int64(n)
	if n > 0 && !t.elsewhere {
		t.record(tapeBytes, int64(n))
		t.write(p[:n])
	}
	if t.err != nil {
		return n, t.err
	}
	return n, err
}

// kept notes that size bytes have become the file of that name.
func (t *tape) kept(name string, size int64) {
	t.record(tapeFile, size, int64(len(name)))
	t.write([]byte(name))
}

func (t *tape) record(kind byte, numbers ...int64) {
	head := []byte{kind}
	for _, n := range numbers {
		head = binary.AppendUvarint(head, uint64(n))
	}
	t.write(head)
}

func (t *tape) write(data []byte) {
	if t.err == nil {
		_, t.err = t.packed.Write(data)
	}
}

// Close finishes the tape; its file is synced with the layer.
func (t *tape) Close() error { return errors.Join(t.err, t.packed.Close(), t.file.Close()) }

// replay writes the archive that a layer was unpacked from.
func replay(path, tree string, w io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer plain.Close()
	root, err := unix.Open(tree, unix.O_RDONLY|openDir, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: tree, Err: err}
	}
	defer unix.Close(root)
	records := bufio.NewReaderSize(plain, 64<<10)
	for {
		kind, err := records.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := replayOne(kind, records, root, w); err != nil {
			return err
		}
	}
}

func replayOne(kind byte, records *bufio.Reader, root int, w io.Writer) error {
	size, err := binary.ReadUvarint(records)
	if err != nil {
		return err
	}
	if kind == tapeBytes {
		_, err := io.CopyN(w, records, int64(size))
		return err
	}
	length, err := binary.ReadUvarint(records)
	if err != nil || kind != tapeFile || length > unix.PathMax {
		return fmt.Errorf("record %d of %d bytes: %w", kind, length, errors.Join(err, errTape))
	}
	name := make([]byte, length)
	if _, err := io.ReadFull(records, name); err != nil {
		return err
	}
	fd, err := beneath(root, string(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	content := os.NewFile(uintptr(fd), string(name))
	defer content.Close()
	_, err = io.CopyN(w, content, int64(size))
	return err
}

var errTape = errors.New("the layer's tape is damaged")
