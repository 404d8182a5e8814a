package master_test

import (
	"io"
	"testing"

	"agora.dev/agora/api/recordio"
)

// events reads an operator stream as text.
type events struct{ records *recordio.Reader }

func newEvents(from io.Reader) *events { return &events{recordio.NewReader(from, 0)} }

func (e *events) next(t *testing.T) string {
	t.Helper()
	record, err := e.records.Read()
	if err != nil {
		t.Fatal(err)
	}
	return string(record)
}
