package images

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// resumingReader reads a blob through interruptions: it opens it again where it was.
type resumingReader struct {
	ctx    context.Context
	limits Limits
	open   func(ctx context.Context, offset int64) (io.ReadCloser, error)
	body   io.ReadCloser
	offset int64
	// size is what was announced; less is an interruption. -1: unknown.
	size int64
	// opened bounds the attempts at a server that sends a byte at a time.
	opened int
}

// newResumingReader opens the blob, so that a refusal is met early.
func newResumingReader(ctx context.Context, limits Limits, size int64, open func(context.Context, int64) (io.ReadCloser, error)) (io.ReadCloser, error) {
	r := &resumingReader{ctx: ctx, limits: limits, open: open, size: size}
	err := retry(ctx, limits, passing, func() (bool, error) {
		var err error
		r.body, err = open(ctx, 0)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *resumingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var end error
	err := retry(r.ctx, r.limits, passing, func() (bool, error) {
		var err error
		if r.body == nil {
			if r.opened++; r.opened > maxAttempts {
				return false, fmt.Errorf("%w: the transfer broke off %d times", ErrUnreachable, maxAttempts)
			}
			if r.body, err = r.open(r.ctx, r.offset); err != nil {
				return false, err
			}
		}
		n, err = r.body.Read(p)
		r.offset += int64(n)
		if errors.Is(err, io.EOF) && r.offset < r.size {
			err = io.ErrUnexpectedEOF
		}
		if err == nil || errors.Is(err, io.EOF) {
			end = err
			return n > 0, nil
		}
		r.body.Close()
		r.body = nil
		if n > 0 {
			// What came is given first; the next Read goes on.
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return n, err
	}
	return n, end
}

func (r *resumingReader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
