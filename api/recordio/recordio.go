// Package recordio owns the framing of every stream of the v1 APIs: the length of a record in
// decimal, a line feed, the record. It promises that a reader holds no more than one record of
// the agreed size, and that a record arrives whole or not at all. It refuses lengths that are
// not plain decimal numbers.
package recordio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// DefaultMaxRecord bounds a record, in bytes, where a reader was told no bound.
const DefaultMaxRecord = 64 << 20

// maxDigits is the longest length that is read: more digits cannot be below any bound.
const maxDigits = 19

// ErrBadLength says that what stands in the place of a length is not one.
var ErrBadLength = errors.New("record length is not a decimal number")

// ErrTooLong says that a record is longer than the reader takes.
var ErrTooLong = errors.New("record is too long")

// Append appends the framed record to dst.
func Append(dst, record []byte) []byte {
	return append(AppendLength(dst, len(record)), record...)
}

// AppendLength appends what stands before a record of n bytes.
func AppendLength(dst []byte, n int) []byte {
	return append(strconv.AppendInt(dst, int64(n), 10), '\n')
}

// Writer writes records. It is for one goroutine.
type Writer struct {
	to    io.Writer
	flush func() error
	buf   []byte
}

// NewWriter returns a Writer; flush, unless nil, is called after each record.
func NewWriter(to io.Writer, flush func() error) *Writer {
	return &Writer{to: to, flush: flush}
}

// keep bounds the buffer that a Writer holds between records.
const keep = 64 << 10

// Write writes one record, in one call of the underlying writer, so that it becomes one chunk
// of an HTTP answer as clients expect. It returns the length of the record.
func (w *Writer) Write(record []byte) (int, error) {
	w.buf = Append(w.buf[:0], record)
	_, err := w.to.Write(w.buf)
	if cap(w.buf) > keep {
		w.buf = nil
	}
	if err != nil {
		return 0, err
	}
	if w.flush != nil {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return len(record), nil
}

// Reader reads records. It is for one goroutine.
type Reader struct {
	from *bufio.Reader
	max  int
	err  error
}

// NewReader returns a Reader that refuses records longer than max bytes (zero:
// DefaultMaxRecord). A *bufio.Reader is used as it is, whatever its size.
func NewReader(from io.Reader, max int) *Reader {
	if max <= 0 {
		max = DefaultMaxRecord
	}
	buffered, ok := from.(*bufio.Reader)
	if !ok {
		buffered = bufio.NewReader(from)
	}
	return &Reader{from: buffered, max: max}
}

// Read returns the next record, which is the caller's to keep. The end of the stream between two
// records is io.EOF, within one io.ErrUnexpectedEOF. After an error every call returns it again.
func (r *Reader) Read() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	record, err := r.read()
	r.err = err
	return record, err
}

func (r *Reader) read() ([]byte, error) {
	length, err := r.length()
	if err != nil {
		return nil, err
	}
	// A hostile length costs memory only as the bytes arrive.
	const step = 1 << 20
	record := make([]byte, min(length, step))
	if _, err := io.ReadFull(r.from, record); err != nil {
		return nil, unexpected(err)
	}
	for len(record) < length {
		have := len(record)
		more := min(length-have, max(have, step))
		record = append(record, make([]byte, more)...)
		if _, err := io.ReadFull(r.from, record[have:]); err != nil {
			return nil, unexpected(err)
		}
	}
	return record, nil
}

func (r *Reader) length() (int, error) {
	var digits [maxDigits]byte
	for n := 0; ; n++ {
		c, err := r.from.ReadByte()
		switch {
		case err != nil && n == 0:
			return 0, err
		case err != nil:
			return 0, unexpected(err)
		case c == '\n':
			length, err := strconv.ParseInt(string(digits[:n]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%w: %q", ErrBadLength, digits[:n])
			}
			if length > int64(r.max) {
				return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, length, r.max)
			}
			return int(length), nil
		case c < '0' || c > '9':
			return 0, fmt.Errorf("%w: %q", ErrBadLength, append(digits[:n:n], c))
		case n == maxDigits:
			return 0, fmt.Errorf("%w: more than %d digits", ErrTooLong, maxDigits)
		}
		digits[n] = c
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
