package httpapi

import (
	"bufio"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
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
		send(w, r, "application/json", out.body()...)
		return
	}
	if !callback.MatchString(name) {
		text(w, http.StatusBadRequest, "'jsonp' is not the name of a function")
		return
	}
	body(&out)
	send(w, r, "text/javascript", slices.Concat([][]byte{[]byte(name + "(")}, out.body(), [][]byte{[]byte(")")})...)
}

// send answers 200 with a body in parts, compressed if the client asked for that.
func send(w http.ResponseWriter, r *http.Request, media string, body ...[]byte) {
	h, size := w.Header(), 0
	for _, part := range body {
		size += len(part)
	}
	h.Set("Content-Type", media)
	if size < compressible || !gzipAsked(r) {
		h.Set("Content-Length", strconv.Itoa(size))
		gather(w, body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	h.Add("Vary", "Accept-Encoding")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		text(w, http.StatusInternalServerError, "Internal error")
		return
	}
	for _, part := range body {
		z.Write(part)
		runtime.Gosched() // as in blocks
	}
	z.Close()
}

// gathered is how much goes to the connection at once.
const gathered = 128 << 10

// gather writes parts, small ones together.
func gather(w io.Writer, parts [][]byte) {
	if len(parts) == 1 {
		w.Write(parts[0])
		return
	}
	out := bufio.NewWriterSize(w, gathered)
	for _, part := range parts {
		out.Write(part)
	}
	out.Flush()
}

func gzipAsked(r *http.Request) bool {
	header := r.Header.Get("Accept-Encoding")
	return header != "" && accepts(header, "gzip")
}
