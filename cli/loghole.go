package cli

import (
	"bytes"
	"context"
)

// A file that was rotated begins with a hole, which reads as zeros.

// holeBlock is the least of a hole.
const holeBlock = 4096

// unhole takes the end of a hole off the begin of what was read; nil when all of it is in one.
func (f *sandboxFile) unhole(data []byte) []byte {
	rest := bytes.TrimLeft(data, "\x00")
	switch zeros := len(data) - len(rest); {
	case len(data) > 0 && len(rest) == 0 && zeros >= holeBlock:
		return nil
	case zeros >= holeBlock, f.behindHole:
		f.behindHole = false
		return append([]byte{}, rest...)
	}
	return append([]byte{}, data...)
}

// skipHole moves to the block in which a hole ends: all before it is zeros, nothing behind it is.
func (f *sandboxFile) skipHole(ctx context.Context, size uint64) error {
	low, high := f.offset/holeBlock, size/holeBlock
	for low < high {
		middle := (low + high) / 2
		_, data, err := f.read(ctx, f.paths[0], middle*holeBlock, holeBlock)
		if err != nil {
			return err
		}
		if len(bytes.TrimLeft(data, "\x00")) > 0 || len(data) == 0 {
			high = middle
		} else {
			low = middle + 1
		}
	}
	f.offset, f.behindHole = low*holeBlock, true
	return nil
}
