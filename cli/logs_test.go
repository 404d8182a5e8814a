package cli

import (
	"bytes"
	"sync"
	"testing"
)

func TestMergedLogsKeepLinesWhole(t *testing.T) {
	var out bytes.Buffer
	p := &prefixed{lock: &sync.Mutex{}, out: &out, prefix: "a1 | "}
	for _, part := range []string{"one\ntw", "o\n", "\nthr", "ee"} {
		if _, err := p.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	p.flush()
	if want := "a1 | one\na1 | two\na1 | \na1 | three\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
