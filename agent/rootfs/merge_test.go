package rootfs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// read turns "a/ b!/ c d-" into a listing: a directory, an opaque one, a file, a whiteout.
func read(text string) (out []entry) {
	for word := range strings.FieldsSeq(text) {
		e := entry{name: strings.TrimRight(word, "!/-"), opaque: strings.Contains(word, "!")}
		e.stat.Mode = unix.S_IFREG
		switch {
		case strings.HasSuffix(word, "/"):
			e.stat.Mode = unix.S_IFDIR
		case strings.HasSuffix(word, "-"):
			e.stat.Mode = unix.S_IFCHR
		}
		out = append(out, e)
	}
	return out
}

func TestUpperLayersHideLowerOnes(t *testing.T) {
	for _, c := range []struct{ layers, want string }{
		{"a b/ | c", "a:0 b/:0 c:1"},
		{"a | a", "a:0"},
		{"a- | a", ""},
		{"a- | a | a/", ""},
		{"a | a- | a", "a:0"},
		{"a/ | a/ | a/", "a/:0,1,2"},
		{"a/ | a | a/", "a/:0"},
		{"a/ | a- | a/", "a/:0"},
		{"a/ | a!/ | a/", "a/:0,1"},
		{"a!/ | a/", "a/:0"},
		{"a | a/", "a:0"},
		{"b | a/ | a- | a/", "a/:1 b:0"},
		{"", ""},
	} {
		var lists [][]entry
		var layers []int
		for i, text := range strings.Split(c.layers, "|") {
			lists, layers = append(lists, read(text)), append(layers, i)
		}
		var got []string
		for _, p := range merge(layers, lists) {
			name := p.name
			if p.stat.Mode == unix.S_IFDIR {
				name += "/"
			}
			got = append(got, name+":"+strings.ReplaceAll(strings.Trim(fmt.Sprint(p.layers), "[]"), " ", ","))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: got %q, want %q", c.layers, s, c.want)
		}
	}
}

func TestBackendsHaveTheNamesOfMesos(t *testing.T) {
	for text, want := range map[string]Backend{"": Auto, "overlay": Overlay, "copy": Copy} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"aufs": "aufs is not built; use overlay or copy", "bind": "bind is not built", "zfs": "zfs is unknown"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
