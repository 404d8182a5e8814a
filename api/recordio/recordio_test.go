package recordio

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRecordsArriveWholeHoweverTheyAreSplit(t *testing.T) {
	var stream bytes.Buffer
	flushed := 0
	w := NewWriter(&stream, func() error { flushed++; return nil })
	records := []string{"", "a", `{"type":"HEARTBEAT"}`, strings.Repeat("x", 3<<20)}
	for _, r := range records {
		if _, err := w.Write([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
	if flushed != len(records) {
		t.Errorf("flushed %d times, want %d", flushed, len(records))
	}
	for name, from := range map[string]io.Reader{"whole": bytes.NewReader(stream.Bytes()), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream.Bytes()))} {
		r := NewReader(from, 0)
		for i, want := range records {
			got, err := r.Read()
			if err != nil || string(got) != want {
				t.Fatalf("%s: record %d: got %d bytes, %v; want %d", name, i, len(got), err, len(want))
			}
		}
		if _, err := r.Read(); err != io.EOF {
			t.Errorf("%s: after the last record: got %v, want EOF", name, err)
		}
	}
}

func TestBadLengthsAreRefused(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"-1\nx", ErrBadLength}, {"+1\nx", ErrBadLength}, {"x\n", ErrBadLength}, {"\n", ErrBadLength}, {" 1\nx", ErrBadLength}, {"1\r\nx", ErrBadLength}, {"0x1\nx", ErrBadLength},
		{"11\nxxxxxxxxxxx", ErrTooLong}, {"99999999999999999999999999\n", ErrTooLong}, {"9223372036854775807\n", ErrTooLong}, {"9999999999999999999\n", ErrBadLength},
		{"10\nxxxx", io.ErrUnexpectedEOF}, {"10", io.ErrUnexpectedEOF}, {"10\n", io.ErrUnexpectedEOF}, {"", io.EOF},
	} {
		r := NewReader(strings.NewReader(c.in), 10)
		_, err := r.Read()
		if !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, want %v", c.in, err, c.want)
		}
		if _, again := r.Read(); again != err {
			t.Errorf("%q: second call: got %v, want the first error again", c.in, again)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{"", "1\na", "5\nhello0\n", "-1\n", "99999999999999999999\n", "3\nab"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), 1<<16)
		var again []byte
		for {
			record, err := r.Read()
			if err != nil {
				break
			}
			again = Append(again, record)
		}
		if len(again) > len(in) {
			t.Fatalf("%q: read more than was there: %q", in, again)
		}
	})
}
