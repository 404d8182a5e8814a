package codec

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON from a whole input. Its methods start at a byte that is not white space and
// stop after what they read.
type scanner struct {
	data []byte
	pos  int
	buf  []byte // holds the last string that had escapes
}

// peek skips white space and returns the next byte, zero at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) syntaxError() error {
	near := s.data[min(s.pos, len(s.data)):]
	if end := bytes.IndexByte(near, '\n'); end >= 0 {
		near = near[:end]
	}
	const most = 256 // an error is not the place for the rest of a large body
	line := 1 + bytes.Count(s.data[:min(s.pos, len(s.data))], []byte{'\n'})
	return &SyntaxError{Line: line, Near: string(bytes.ToValidUTF8(near[:min(most, len(near))], []byte("\uFFFD")))}
}

func (s *scanner) expect(c byte) error {
	if s.peek() != c {
		return s.syntaxError()
	}
	s.pos++
	return nil
}

func (s *scanner) literal(word string) error {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.syntaxError()
	}
	s.pos += len(word)
	return nil
}

// str reads a string; the result is valid until the next call.
func (s *scanner) str() ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	start := s.pos
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.data[start : s.pos-1], nil
		case c == '\\':
			s.buf = append(s.buf[:0], s.data[start:s.pos]...)
			return s.escaped()
		case c < 0x20:
			return nil, s.syntaxError()
		}
	}
	return nil, s.syntaxError()
}

func (s *scanner) escaped() ([]byte, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c == '"':
			s.pos++
			return s.buf, nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < 0x20:
			return nil, s.syntaxError()
		default:
			s.buf = append(s.buf, c)
			s.pos++
		}
	}
	return nil, s.syntaxError()
}

func (s *scanner) escape() error {
	s.pos++
	if s.pos >= len(s.data) {
		return s.syntaxError()
	}
	c := s.data[s.pos]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode()
	default:
		return s.syntaxError()
	}
	s.pos++
	s.buf = append(s.buf, c)
	return nil
}

// unicode reads the digits after \u, and the second half of a pair. A lone half becomes U+FFFD.
func (s *scanner) unicode() error {
	r, ok := s.hex4(s.pos + 1)
	if !ok {
		return s.syntaxError()
	}
	s.pos += 5
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if s.pos+1 < len(s.data) && s.data[s.pos] == '\\' && s.data[s.pos+1] == 'u' {
			low, ok = s.hex4(s.pos + 2)
		}
		if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
			s.pos += 6
		}
	}
	s.buf = utf8.AppendRune(s.buf, r)
	return nil
}

func (s *scanner) hex4(at int) (rune, bool) {
	if at+4 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// number reads a number; the result is part of the input.
func (s *scanner) number() ([]byte, error) {
	start := s.pos
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return nil, s.syntaxError()
	}
	if s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return nil, s.syntaxError()
		}
	}
	if s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return nil, s.syntaxError()
		}
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// skip reads any value.
func (s *scanner) skip(left int) error {
	if left == 0 {
		return &ConversionError{Text: errDepth.Error()}
	}
	switch s.peek() {
	case '{':
		return s.object(left, func([]byte) error { return s.skip(left - 1) })
	case '[':
		return s.array(left, func() error { return s.skip(left - 1) })
	case '"':
		_, err := s.str()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	_, err := s.number()
	return err
}

// object reads an object; member must read the value that follows the key, and not keep the key.
func (s *scanner) object(left int, member func(key []byte) error) error {
	if left == 0 {
		return &ConversionError{Text: errDepth.Error()}
	}
	if err := s.expect('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		s.peek()
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.syntaxError()
		}
	}
}

// array reads an array; element must read one value.
func (s *scanner) array(left int, element func() error) error {
	if left == 0 {
		return &ConversionError{Text: errDepth.Error()}
	}
	if err := s.expect('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.syntaxError()
		}
	}
}

// end checks that nothing follows the value.
func (s *scanner) end() error {
	if s.peek(); s.pos == len(s.data) {
		return nil
	}
	err := s.syntaxError().(*SyntaxError)
	err.Trailing = true
	return err
}
