package images

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the memory of one zstd decoder.
const zstdWindow = 64 << 20

// countingReader counts and reports what was read, and ends with its context.
type countingReader struct {
	ctx   context.Context
	inner io.Reader
	count int64
	told  int64
	each  func(int64)
}

func (r *countingReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.inner.Read(p)
	r.count += int64(n)
	if r.count-r.told > 256<<10 {
		r.told = r.count
		r.each(r.count)
	}
	return n, err
}

// decompress tells the packing by the first bytes, since media types lie.
func decompress(packed io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(packed, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		reader, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, refused("gzip: %s", oneLine(err))
		}
		return reader, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		reader, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, refused("zstd: %s", oneLine(err))
		}
		return reader.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

// guardedReader hashes the unpacked bytes, and ends when they become too many or too
// many for the packed bytes they came from.
type guardedReader struct {
	inner  io.Reader
	packed *countingReader
	limits Limits
	sum    hash.Hash
	count  int64
}

func (r *guardedReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	r.count += int64(n)
	r.sum.Write(p[:n])
	if r.count > r.limits.LayerBytes {
		return n, refused("it unpacks to more than %d bytes", r.limits.LayerBytes)
	}
	if r.count > r.limits.RatioFloor && r.count/r.limits.Ratio > r.packed.count {
		return n, refused("it unpacks to more than %d times its size", r.limits.Ratio)
	}
	return n, err
}

// unpackTaped unpacks a layer and reads on to the end of what follows its archive, which
// belongs to both digests and to the tape.
func unpackTaped(plain io.Reader, config unpackConfig) (unpacked, error) {
	if config.tape == "" {
		out, err := unpackTar(plain, config)
		if err == nil {
			_, err = io.Copy(io.Discard, plain)
		}
		return out, err
	}
	recorded, err := newTape(config.tape, plain)
	if err != nil {
		return unpacked{}, err
	}
	out, err := unpackTar(recorded, config)
	if err == nil {
		_, err = io.Copy(io.Discard, recorded)
	}
	out.note.Archive = recorded.size
	if closed := recorded.Close(); err == nil {
		err = closed
	}
	return out, err
}

// unpackVerified unpacks a layer and checks both of its digests and its size. The
// caller must not use the tree when there is an error.
func unpackVerified(packed *countingReader, source layerSource, diffID string, config unpackConfig) (unpacked, error) {
	algorithm, sum := hashLike(source.digest)
	bounded := io.Reader(packed)
	if source.size >= 0 {
		// One byte more than announced is enough to know that it lies.
		bounded = io.LimitReader(packed, source.size+1)
	}
	tee := io.TeeReader(bounded, sum)
	plain, err := decompress(tee)
	if err != nil {
		return unpacked{}, err
	}
	defer plain.Close()
	diffAlgorithm, diffSum := hashLike(diffID)
	guard := &guardedReader{inner: plain, packed: packed, limits: config.limits, sum: diffSum}
	out, err := unpackTaped(guard, config)
	if err != nil {
		return out, err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return out, err
	}
	if source.size >= 0 && packed.count != source.size {
		return out, fmt.Errorf("%w: it has not the announced size of %d bytes: pull it again, or tell the image's owner", ErrDigestMismatch, source.size)
	}
	if source.digest != "" {
		if got := algorithm + hex.EncodeToString(sum.Sum(nil)); got != source.digest {
			return out, fmt.Errorf("%w: it is %s: pull it again, or tell the image's owner", ErrDigestMismatch, got)
		}
	}
	if got := diffAlgorithm + hex.EncodeToString(guard.sum.Sum(nil)); got != diffID {
		return out, fmt.Errorf("%w: unpacked it is %s, not %s: pull it again, or tell the image's owner", ErrDigestMismatch, got, diffID)
	}
	return out, nil
}
