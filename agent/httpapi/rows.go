package httpapi

import (
	"bufio"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"slices"
)

// rows is a list in a document whose elements are made when they are written: an agent that has run 100,000 tasks holds
// one of them at a time.
type rows iter.Seq[any]

// whole is an object without rows in it.
type whole map[string]any

// rowsOf makes rows of a list.
func rowsOf[T any](list []T, row func(T) any) rows {
	return func(yield func(any) bool) {
		for _, one := range list {
			if !yield(row(one)) {
				return
			}
		}
	}
}

// writeRows is writeJSON for a document with rows. Whoever does not read ends it.
func writeRows(w http.ResponseWriter, r *http.Request, document map[string]any) {
	after := jsonHead(w, r)
	out := bufio.NewWriterSize(w, 64<<10)
	if err := encode(out, document); err != nil {
		panic(http.ErrAbortHandler) // an answer that is cut off must not look whole
	}
	out.WriteString(after)
	_ = out.Flush() // the reader may have gone
}

func encode(w *bufio.Writer, value any) error {
	switch value := value.(type) {
	case map[string]any:
		return encodeObject(w, value)
	case rows:
		return encodeRows(w, value)
	}
	data, err := json.Marshal(value)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

func encodeObject(w *bufio.Writer, object map[string]any) error {
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(object)) {
		w.WriteByte(separator)
		separator = ','
		if err := encode(w, name); err != nil {
			return err
		}
		w.WriteByte(':')
		if err := encode(w, object[name]); err != nil {
			return err
		}
	}
	if separator == '{' {
		w.WriteByte('{')
	}
	return w.WriteByte('}')
}

func encodeRows(w *bufio.Writer, list rows) error {
	separator := byte('[')
	for row := range list {
		w.WriteByte(separator)
		separator = ','
		if err := encode(w, row); err != nil {
			return err
		}
	}
	if separator == '[' {
		w.WriteByte('[')
	}
	return w.WriteByte(']')
}
