package shim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unsafe"
)

// code returns the address of the shim's first instruction.
func code() unsafe.Pointer

// end follows the shim's last instruction; no instruction of ours contains it.
var end = []byte{0xf1, 0x0f, 0xf1, 0x0f, 0xa6, 0x06, 0xa6, 0x06}

const (
	maxCode   = 2048
	loadAt    = 0x400000
	codeAt    = 0x100
	emX8664   = 62
	ptLoad    = 1
	ptStack   = 0x6474e551
	flagsRX   = 5
	flagsRW   = 6
	headerLen = 64
	phdrLen   = 56
)

// Image returns the shim as a static executable of some hundred bytes: one segment,
// no section, no interpreter, stack not executable.
func Image() ([]byte, error) {
	text := unsafe.Slice((*byte)(code()), maxCode)
	length := bytes.Index(text, end)
	if length < 0 {
		return nil, errors.New("shim: end of its code not found")
	}
	out := make([]byte, codeAt, codeAt+length)
	copy(out, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(out[16:], 2) // ET_EXEC
	le.PutUint16(out[18:], emX8664)
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[24:], loadAt+codeAt)
	le.PutUint64(out[32:], headerLen)
	le.PutUint16(out[52:], headerLen)
	le.PutUint16(out[54:], phdrLen)
	le.PutUint16(out[56:], 2)
	segment := out[headerLen:]
	le.PutUint32(segment, ptLoad)
	le.PutUint32(segment[4:], flagsRX)
	le.PutUint64(segment[16:], loadAt)
	le.PutUint64(segment[24:], loadAt)
	le.PutUint64(segment[32:], uint64(codeAt+length))
	le.PutUint64(segment[40:], uint64(codeAt+length))
	le.PutUint64(segment[48:], 0x1000)
	stack := segment[phdrLen:]
	le.PutUint32(stack, ptStack)
	le.PutUint32(stack[4:], flagsRW)
	le.PutUint64(stack[48:], 16)
	return append(out, text[:length]...), nil
}
