package httpapi

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// writer appends JSON by hand: the legacy views are too large and too hot for reflection.
type writer struct {
	// parts are what was written before buf.
	parts [][]byte
	buf   []byte
	// known and made are set while a body is written that is kept in fragments for the next one.
	known, made *fragments
	// shapes are the resources of tasks as they were written before, by the first of them; nil: not kept.
	shapes map[*mesos.Resource][]byte
}

func (w *writer) comma() {
	if last := w.last(); last != 0 && last != '{' && last != '[' && last != ':' {
		w.buf = append(w.buf, ',')
	}
}

// last is the last byte that was written, zero before the first.
func (w *writer) last() byte {
	switch {
	case len(w.buf) > 0:
		return w.buf[len(w.buf)-1]
	case len(w.parts) > 0:
		part := w.parts[len(w.parts)-1]
		return part[len(part)-1]
	}
	return 0
}

// splice writes bytes that never change, without a copy where that is worth it.
func (w *writer) splice(part []byte) {
	if len(part) < 1<<10 {
		w.buf = append(w.buf, part...)
		return
	}
	if len(w.buf) > 0 {
		w.parts = append(w.parts, w.buf)
	}
	w.parts, w.buf = append(w.parts, part), w.buf[len(w.buf):]
}

// body is all that was written, in parts.
func (w *writer) body() [][]byte { return append(w.parts, w.buf) }

func (w *writer) open(c byte)  { w.comma(); w.buf = append(w.buf, c) }
func (w *writer) close(c byte) { w.buf = append(w.buf, c) }

func (w *writer) key(name string) {
	w.comma()
	w.quote(name)
	w.buf = append(w.buf, ':')
}

func (w *writer) object(name string, body func()) {
	w.key(name)
	w.buf = append(w.buf, '{')
	body()
	w.buf = append(w.buf, '}')
}

func (w *writer) array(name string, body func()) {
	w.key(name)
	w.buf = append(w.buf, '[')
	body()
	w.buf = append(w.buf, ']')
}

func (w *writer) element(body func()) {
	w.open('{')
	body()
	w.close('}')
}

func (w *writer) text(name, value string) { w.key(name); w.quote(value) }

// optional writes only what is not empty.
func (w *writer) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) bool(name string, value bool) {
	w.key(name)
	w.buf = strconv.AppendBool(w.buf, value)
}

func (w *writer) int(name string, value int64) {
	w.key(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
}

func (w *writer) float(name string, value float64) {
	w.key(name)
	w.number(value)
}

// number writes a double: always with a fraction.
func (w *writer) number(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	start := len(w.buf)
	w.buf = strconv.AppendFloat(w.buf, v, 'f', -1, 64)
	for _, c := range w.buf[start:] {
		if c == '.' {
			return
		}
	}
	w.buf = append(w.buf, '.', '0')
}

func (w *writer) time(name string, t time.Time) { w.float(name, seconds(t)) }

func (w *writer) strings(name string, values []string) {
	w.array(name, func() {
		for _, v := range values {
			w.comma()
			w.quote(v)
		}
	})
}

// message writes a message as the v1 API does.
func (w *writer) message(name string, m proto.Message) {
	w.key(name)
	w.raw(m)
}

func (w *writer) raw(m proto.Message) {
	mark := len(w.buf)
	buf, err := codec.AppendJSON(w.buf, m)
	if err != nil {
		buf = append(buf[:mark], "{}"...)
	}
	w.buf = buf
}

const hexDigits = "0123456789abcdef"

func (w *writer) quote(s string) {
	w.buf = append(w.buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			w.buf = append(w.buf, '\\', c)
		case c < 0x20:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			w.buf = append(w.buf, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			w.buf = utf8.AppendRune(w.buf, r)
			i += size
			continue
		}
		i++
	}
	w.buf = append(w.buf, '"')
}

// seconds is a time as the protocol writes it; zero for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}
