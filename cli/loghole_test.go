package cli

import (
	"strings"
	"testing"
)

func TestZerosOfAHoleAreNotPrinted(t *testing.T) {
	zeros := strings.Repeat("\x00", holeBlock)
	for _, c := range []struct {
		what, data string
		behind     bool
		want       string
		hole       bool
	}{
		{"text", "line\n", false, "line\n", false},
		{"nothing", "", false, "", false},
		{"zeros that a task wrote", "\x00\x00x\x00", false, "\x00\x00x\x00", false},
		{"the end of a hole", zeros + "\x00line\n", false, "line\n", false},
		{"the end of a hole that was skipped", "\x00\x00line\n", true, "line\n", false},
		{"a hole", zeros + zeros, false, "", true},
	} {
		f := &sandboxFile{behindHole: c.behind}
		got := f.unhole([]byte(c.data))
		if string(got) != c.want || (got == nil) != c.hole {
			t.Errorf("%s: got %q, a hole %v", c.what, got, got == nil)
		}
	}
}
