package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
)

// refusal is an answer other than success, in Mesos's words.
type refusal struct {
	code int
	text string
}

func (e *refusal) Error() string { return e.text }

func refuse(code int, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

func answer(w http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{http.StatusInternalServerError, err.Error()}
	}
	if r.text != "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(r.code)
	io.WriteString(w, r.text)
}

// onlyPost answers other methods as libprocess does.
func onlyPost(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodPost {
		return true
	}
	w.Header().Set("Allow", "POST")
	answer(w, refuse(http.StatusMethodNotAllowed,
		"405 Method Not Allowed. Expecting one of { 'POST' }, but received '%s'.", r.Method))
	return false
}

// contentType reads the media type of the body; parameters are accepted.
func contentType(r *http.Request, expecting string, accepted ...codec.MediaType) (codec.MediaType, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return "", refuse(http.StatusBadRequest, "Expecting 'Content-Type' to be present")
	}
	media, _, err := mime.ParseMediaType(header)
	if err == nil {
		for _, a := range accepted {
			if media == string(a) {
				return a, nil
			}
		}
	}
	return "", refuse(http.StatusUnsupportedMediaType, "Expecting 'Content-Type' of %s", expecting)
}

// accept chooses the first of the offered types that the header allows; no header means
// the first.
func accept(header string, offered ...codec.MediaType) (codec.MediaType, bool) {
	if strings.TrimSpace(header) == "" {
		return offered[0], true
	}
	for _, o := range offered {
		main, _, _ := strings.Cut(string(o), "/")
		for part := range strings.SplitSeq(header, ",") {
			name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			name = strings.TrimSpace(name)
			if strings.ReplaceAll(params, " ", "") == "q=0" {
				continue
			}
			if name == "*/*" || name == main+"/*" || name == string(o) {
				return o, true
			}
		}
	}
	return "", false
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, codec.MaxCallSize))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "The body is longer than %d bytes", codec.MaxCallSize)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to read body: %v", err)
	}
	return body, nil
}

// writeMessage sends a message as the chosen type.
func writeMessage(w http.ResponseWriter, media codec.MediaType, m proto.Message) {
	data, err := codec.Marshal(media, m)
	if err != nil {
		answer(w, err)
		return
	}
	w.Header().Set("Content-Type", string(media))
	w.Write(data)
}

// writeJSON sends a legacy document, as JSONP when asked for.
func writeJSON(w http.ResponseWriter, r *http.Request, document any) {
	data, err := json.Marshal(document)
	if err != nil {
		answer(w, err)
		return
	}
	after := jsonHead(w, r)
	w.Write(data)
	io.WriteString(w, after)
}

// jsonHead begins a legacy document, and returns how it ends.
func jsonHead(w http.ResponseWriter, r *http.Request) (after string) {
	callback := r.URL.Query().Get("jsonp")
	if callback == "" {
		w.Header().Set("Content-Type", "application/json")
		return ""
	}
	w.Header().Set("Content-Type", "text/javascript")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	fmt.Fprintf(w, "/**/%s(", strings.Map(identifier, callback))
	return ");"
}

func identifier(r rune) rune {
	if r == '_' || r == '$' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return -1
}
