package shim_test

import (
	"bytes"
	"debug/elf"
	"strings"
	"testing"

	"agora.dev/agora/agent/launcher/shim"
)

func TestImageIsASmallStaticExecutable(t *testing.T) {
	image, err := shim.Image()
	if err != nil {
		t.Skip("SKIP: ", err)
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || len(image) > 1024 {
		t.Errorf("type %v, %d bytes", f.Type, len(image))
	}
	for _, p := range f.Progs {
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Errorf("segment %v is writable and executable", p.ProgHeader)
		}
		if p.Type == elf.PT_INTERP {
			t.Error("it wants an interpreter")
		}
	}
}

func TestProgramTooLargeIsRefused(t *testing.T) {
	p := shim.New(4)
	p.String(strings.Repeat("x", 16<<20))
	if _, _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), "more than the shim carries") {
		t.Errorf("got %v", err)
	}
}

func TestEqualStringsArePlacedOnce(t *testing.T) {
	p := shim.New(4)
	first, again := p.String("a").Address(), p.String("a").Address()
	if first != again || p.String("a").Address() == p.String("b").Address() {
		t.Error("addresses do not follow content")
	}
}
