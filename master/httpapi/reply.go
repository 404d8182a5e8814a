package httpapi

import (
	"compress/gzip"
	"net/http"
	"regexp"
	"strconv"
)

// compressible is the size from which a body is worth compressing, for those who ask.
const compressible = 1024

// callback is what a jsonp parameter may be; anything else could carry script.
var callback = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$.]{0,127}$`)

// view answers with JSON that body appends, wrapped for jsonp when asked.
func view(w http.ResponseWriter, r *http.Request, body func(*writer)) {
	out := writer{}
	name := r.URL.Query().Get("jsonp")
	if name == "" {
		body(&out)
		send(w, r, "application/json", out.buf)
		return
	}
	if !callback.MatchString(name) {
		text(w, http.StatusBadRequest, "'jsonp' is not the name of a function")
		return
	}
	body(&out)
	send(w, r, "text/javascript", []byte(name+"("+string(out.buf)+")"))
}

// send answers 200 with a body, compressed if the client asked for that.
func send(w http.ResponseWriter, r *http.Request, media string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	if len(body) < compressible || !gzipAsked(r) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		text(w, http.StatusInternalServerError, "Internal error")
		return
	}
	z.Write(body)
	z.Close()
}

func gzipAsked(r *http.Request) bool {
	header := r.Header.Get("Accept-Encoding")
	return header != "" && accepts(header, "gzip")
}
