package httpapi

import (
	"mime"
	"net/http"
	"strings"

	"agora.dev/agora/api/codec"
	"google.golang.org/protobuf/proto"
)

const maxBody = codec.MaxCallSize

// Texts of refusals that every API shares.
const (
	textNoContentType = "Expecting 'Content-Type' to be present"
	textContentType   = "Expecting 'Content-Type' of application/json or application/x-protobuf"
	textAccept        = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
	textNotImplement  = "501 Not Implemented."
)

// readCall decodes the body of a call, or answers and reports false.
func (s *Server) readCall(w http.ResponseWriter, r *http.Request, call proto.Message) bool {
	if r.Method != http.MethodPost {
		methodNotAllowed(w, r, http.MethodPost)
		return false
	}
	header := r.Header.Get("Content-Type")
	if header == "" {
		text(w, http.StatusBadRequest, textNoContentType)
		return false
	}
	media, ok := mediaType(header)
	if !ok {
		text(w, http.StatusUnsupportedMediaType, textContentType)
		return false
	}
	body, ok := s.body(w, r)
	if !ok {
		return false
	}
	if err := codec.Unmarshal(media, body, call); err != nil {
		text(w, http.StatusBadRequest, codec.Describe("Call", err))
		return false
	}
	return true
}

// mediaType reads a Content-Type; parameters are allowed and ignored.
func mediaType(header string) (codec.MediaType, bool) {
	switch header {
	case string(codec.JSON):
		return codec.JSON, true
	case string(codec.Protobuf):
		return codec.Protobuf, true
	}
	name, _, err := mime.ParseMediaType(header)
	media := codec.MediaType(name)
	return media, err == nil && (media == codec.JSON || media == codec.Protobuf)
}

// accepted chooses the answer's media type: JSON before protobuf.
func accepted(r *http.Request) (codec.MediaType, bool) {
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		return codec.JSON, true
	}
	header := strings.Join(values, ",")
	for _, media := range []codec.MediaType{codec.JSON, codec.Protobuf} {
		if accepts(header, string(media)) {
			return media, true
		}
	}
	return "", false
}

// accepts says whether an Accept or Accept-Encoding header allows name; a quality of zero
// forbids.
func accepts(header, name string) bool {
	kind, _, _ := strings.Cut(name, "/")
	for part := range strings.SplitSeq(header, ",") {
		value, parameters, _ := strings.Cut(part, ";")
		switch strings.TrimSpace(value) {
		case name, "*", "*/*", kind + "/*":
		default:
			continue
		}
		q := strings.ReplaceAll(parameters, " ", "")
		if i := strings.Index(q, "q="); i >= 0 && strings.Trim(q[i+2:], "0.") == "" {
			continue
		}
		return true
	}
	return false
}
