package master_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/master"
)

// patience is how long something real may take on a busy machine.
const patience = 30 * time.Second

// victim is a real master that is sent what no client should send.
type victim struct {
	*master.Master
	t   *testing.T
	log *lockedBuffer
}

func startVictim(t *testing.T) *victim {
	log := &lockedBuffer{}
	m := startMaster(t, master.Deps{Log: slog.New(slog.NewJSONHandler(log, nil))})
	return &victim{Master: m, t: t, log: log}
}

// send writes raw bytes on a new connection, and gives the status and text of the answer; 0: the connection was
// closed without one.
func (v *victim) send(raw string) (int, string) {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.Addr())
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	written := make(chan struct{})
	go func() {
		defer close(written)
		io.WriteString(conn, raw) // a master that has answered need not read the rest
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			v.t.Fatalf("no answer to %q", head(raw))
		}
		conn.Close()
		<-written
		return 0, ""
	}
	body := make([]byte, 512)
	n, _ := io.ReadFull(response.Body, body)
	conn.Close()
	<-written
	return response.StatusCode, string(body[:n])
}

// well fails the test unless the master serves on and no handler of it panicked.
func (v *victim) well() {
	v.t.Helper()
	if r, _ := get(v.t, v.Master, "/state-summary"); r.StatusCode != 200 {
		v.t.Errorf("afterwards: %s", r.Status)
	}
	if log := v.log.String(); strings.Contains(log, "panic") {
		v.t.Errorf("a handler panicked: %s", log)
	}
}

func head(s string) string { return s[:min(len(s), 120)] }

func post(path, media, body string, headers ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s",
		path, media, len(body), strings.Join(append(headers, ""), "\r\n"), body)
}

func getRaw(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

func gzipped(size int) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	io.CopyN(z, zeros{}, int64(size))
	z.Close()
	return out.String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

const (
	api       = "/api/v1"
	schedAPI  = "/api/v1/scheduler"
	jsonType  = "application/json"
	protoType = "application/x-protobuf"
	health    = `{"type":"GET_HEALTH"}`
)

// TestHostileHTTPIsAnswered holds the catalogue of bad HTTP, with CVE-2017-7687 (paths that cannot be decoded),
// CVE-2017-9790 (empty paths) and CVE-2018-1330 (malformed JSON, chunked trailers) in it. A status of 0 allows that
// the connection is closed without an answer.
func TestHostileHTTPIsAnswered(t *testing.T) {
	chunked := "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
	whole := fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(health), health)
	cases := []struct {
		name, raw string
		want      []int
	}{
		{"path that cannot be decoded", getRaw("/%zz"), []int{400}},
		{"path that ends in a percent sign", getRaw("/state%"), []int{400}},
		{"empty path", "GET  HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"absolute form", getRaw("http://elsewhere/version"), []int{200}},
		{"absolute form without a path", getRaw("http://elsewhere"), []int{200}},
		{"absolute form of another scheme", getRaw("gopher://x/version"), []int{200, 400}},
		{"authority form", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", []int{404, 405}},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []int{200, 404, 405}},
		{"path without a slash", getRaw("state"), []int{400}},
		{"dots that are encoded", getRaw("/%2e%2e%2f%2e%2e%2fetc/passwd"), []int{404}},
		{"dots", getRaw("/../../etc/passwd"), []int{404}},
		{"double encoding", getRaw("/%252e%252e%252fetc/passwd"), []int{404}},
		{"NUL in a path", getRaw("/state%00"), []int{404}},
		{"URL of 1 MB", getRaw("/" + strings.Repeat("a", 1<<20)), []int{431, 0}},
		{"query of 1 MB", getRaw("/state?" + strings.Repeat("a", 1<<20)), []int{431, 0}},
		{"10,000 headers", getRaw("/version", slices.Repeat([]string{"X-Filler: 0123456789"}, 10_000)...), []int{431, 0}},
		{"header of 1 MB", getRaw("/version", "X-Filler: "+strings.Repeat("a", 1<<20)), []int{431, 0}},
		{"header of 32 KB", getRaw("/version", "X-Filler: "+strings.Repeat("a", 32<<10)), []int{200}},
		{"folded header", getRaw("/version", "X-A: 1\r\n 2"), []int{200, 400}},
		{"first header folded", "GET /version HTTP/1.1\r\n Host: x\r\n\r\n", []int{400}},
		{"header without a colon", getRaw("/version", "nonsense"), []int{400}},
		{"space before the colon", getRaw("/version", "Content-Length : 3"), []int{400}},
		{"NUL in a header", getRaw("/version", "X-A: \x00"), []int{400}},
		{"no host", "GET /version HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", getRaw("/version", "Host: y"), []int{400}},
		{"protocol of the future", "GET /version HTTP/9.9\r\nHost: x\r\n\r\n", []int{400, 505}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 505}},
		{"TLS to a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"no HTTP", "\x00\xff\r\n\r\n", []int{400}},
		{"method that is none", "FROBNICATE /state HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"two different lengths", post(api, jsonType, health, "Content-Length: 7"), []int{400}},
		{"negative length", "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", []int{400}},
		{"length that is no number", "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n", []int{400}},
		{"unknown transfer coding", "POST /api/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", []int{501, 400}},
		{"chunks of a bad length", chunked + "\r\nzz\r\n", []int{400}},
		{"chunk above 2^64", chunked + "\r\nfffffffffffffffff\r\n", []int{400}},
		{"chunked with trailers", chunked + "Trailer: X-T\r\n\r\n" + whole + "X-T: 1\r\n\r\n", []int{200}},
		{"chunked with trailers that are none", chunked + "\r\n" + whole + "nonsense\r\n\r\n", []int{200, 400}},
		{"trailer that forges a length", chunked + "Trailer: Content-Length\r\n\r\n" + whole + "Content-Length: 5\r\n\r\n", []int{200, 400}},
		{"wrong Content-Type", post(api, "text/html", health), []int{415}},
		{"Content-Type that is none", post(api, ";;;", health), []int{415}},
		{"no Content-Type", "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", []int{400}},
		{"wrong Accept", post(api, jsonType, health, "Accept: image/png"), []int{406}},
		{"GET of an API", getRaw(api), []int{405}},
		{"empty body", post(api, jsonType, ""), []int{400}},
		{"websocket upgrade", getRaw("/version", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), []int{200}},
		{"HTTP/2 upgrade", getRaw("/version", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), []int{200}},
		{"link that is none", getRaw("/api/agora/link"), []int{400, 426, 405}},
		{"gzip bomb", post(api, jsonType, gzipped(64<<20), "Content-Encoding: gzip"), []int{400}},
		{"body above the limit", post(api, jsonType, strings.Repeat(" ", codec.MaxCallSize+1)), []int{413}},
		{"length above the limit", "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9223372036854775807\r\n\r\n" +
			strings.Repeat(" ", codec.MaxCallSize+2), []int{413}},
		{"forged stream id", post(schedAPI, jsonType, `{"type":"REVIVE","framework_id":{"value":"x"}}`, "Mesos-Stream-Id: 00000000-0000-0000-0000-000000000000"), []int{400}},
		{"no stream id", post(schedAPI, jsonType, `{"type":"REVIVE","framework_id":{"value":"x"}}`), []int{400}},
		{"stream id with SUBSCRIBE", post(schedAPI, jsonType, `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}`,
			"Mesos-Stream-Id: x"), []int{400}},
		{"callback that is a program", getRaw("/state?jsonp=alert(1)//"), []int{400}},
		{"page of another site", post(api, jsonType, `{"type":"TEARDOWN"}`, "Origin: http://evil.example", "Sec-Fetch-Site: cross-site"), []int{403}},
	}
	v := startVictim(t)
	for _, c := range cases {
		if status, body := v.send(c.raw); !slices.Contains(c.want, status) {
			t.Errorf("%s: %d %s, want one of %v", c.name, status, body, c.want)
		}
	}
	v.well()
}

// TestSmuggledRequestIsNotASecondRequest frames one request in two ways: what a proxy may have taken for its body
// must not be answered as a request of its own.
func TestSmuggledRequestIsNotASecondRequest(t *testing.T) {
	v := startVictim(t)
	inner := "GET /flags HTTP/1.1\r\nHost: x\r\n\r\n"
	answers := func(all string) int {
		n := 0
		for in := bufio.NewReader(strings.NewReader(all)); ; n++ {
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				return n
			}
			io.Copy(io.Discard, r.Body)
		}
	}
	for name, raw := range map[string]string{
		// The chunks decide: the length is ignored (RFC 9112 §6.3).
		"length and chunks": fmt.Sprintf("POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		"chunks of an older protocol": fmt.Sprintf("POST /api/v1 HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		"folded coding":      "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\nConnection: close\r\n\r\n0\r\n\r\n",
		"coding twice":       "POST /api/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + inner,
		"space in the field": "POST /api/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + inner,
		"bare line feed":     "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX: y\n\rContent-Length: 5\r\nConnection: close\r\n\r\n" + inner,
	} {
		conn, err := net.Dial("tcp", v.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, raw)
		all, err := io.ReadAll(conn)
		conn.Close()
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Errorf("%s: the connection stays open", name)
		}
		if answers(string(all)) > 1 || strings.Contains(string(all), `"flags"`) {
			t.Errorf("%s: answered twice: %s", name, all)
		}
	}
	v.well()
}

// TestHostileJSONIsRefused holds the catalogue of bad JSON, with CVE-2018-11793 (deep nesting) in it.
func TestHostileJSONIsRefused(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100_000)
	cases := []struct{ name, body string }{
		{"100,000 arrays", strings.Repeat("[", 100_000)},
		{"100,000 objects", deep},
		{"100,000 objects in an unknown field", `{"type":"GET_HEALTH","x":` + deep + "1" + strings.Repeat("}", 100_001)},
		{"not a number", `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":NaN}}}`},
		{"infinity", `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":Infinity}}}`},
		{"1e400", `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":1e400}}}`},
		{"number of 10 MB", `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":` + strings.Repeat("9", 10<<20) + `}}}`},
		{"leading zero", `{"type":"GET_METRICS","get_metrics":{"timeout":{"nanoseconds":01}}}`},
		{"byte order mark", "\xef\xbb\xbf" + health},
		{"NUL", "\x00" + health},
		{"comment", `{"type":"GET_HEALTH"/*x*/}`},
		{"trailing bytes", health + "x"},
		{"trailing comma", `{"type":"GET_HEALTH",}`},
		{"two documents", health + health},
		{"cut", `{"type":"GET_HEALTH"`},
		{"string", `"GET_HEALTH"`},
		{"null", `null`},
		{"single quotes", `{'type':'GET_HEALTH'}`},
		{"control character in a string", "{\"type\":\"GET\nHEALTH\"}"},
		{"UTF-16", "\xff\xfe{\x00}\x00"},
		{"type of a wrong kind", `{"type":{}}`},
		{"unknown type", `{"type":"FROBNICATE"}`},
		{"no type", `{}`},
	}
	v := startVictim(t)
	for _, c := range cases {
		for _, path := range []string{api, schedAPI} {
			if status, body := v.send(post(path, jsonType, c.body)); status != 400 && status != 501 {
				t.Errorf("%s to %s: %d %s", c.name, path, status, body)
			}
		}
	}
	// Of a schedule every field may be missing, so that any object is one.
	anyObject := map[string]bool{"1e400": true, "number of 10 MB": true, "type of a wrong kind": true, "unknown type": true, "no type": true}
	for path, method := range map[string]string{"/master/quota": "POST", "/master/weights": "PUT", "/master/maintenance/schedule": "POST",
		"/master/machine/down": "POST", "/master/machine/up": "POST"} {
		for _, c := range cases {
			status, body := v.send(strings.Replace(post(path, jsonType, c.body), "POST", method, 1))
			if status != 400 && !(status == 200 && anyObject[c.name] && path == "/master/maintenance/schedule") {
				t.Errorf("%s %s %s: %d %s", method, path, c.name, status, body)
			}
		}
	}
	v.well()
}

// TestOddTextIsCarriedOrRefused sends what JSON leaves open: neither answer is wrong, silence or broken JSON is.
func TestOddTextIsCarriedOrRefused(t *testing.T) {
	v := startVictim(t)
	for _, name := range []string{`\ud800`, `\udc00\ud800`, "\xff\xfe", "\xed\xa0\x80", `\u0000`, `\u202e`, `\n`, strings.Repeat("x", 64<<10)} {
		body := `{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"` + name + `","weight":2}]}}`
		status, _ := v.send(post(api, jsonType, body))
		if status != 200 && status != 400 {
			t.Errorf("%q: %d", head(name), status)
		}
		twice := `{"type":"FROBNICATE","type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"` + name + `","weight":2}]}}`
		if again, _ := v.send(post(api, jsonType, twice)); again != status && again != 400 {
			t.Errorf("%q twice: %d", head(name), again)
		}
	}
	if _, state := get(t, v.Master, "/state"); !strings.HasSuffix(strings.TrimSpace(state), "}") {
		t.Errorf("/state ends in %q", state[max(0, len(state)-40):])
	}
	v.well()
}

// TestHostileProtobufIsRefused holds the catalogue of bad protobuf.
func TestHostileProtobufIsRefused(t *testing.T) {
	varint := strings.Repeat("\xff", 10)
	nested := "\x0a\x00"
	for range 10_000 {
		n := len(nested)
		nested = "\x12" + string([]byte{byte(n)&0x7f | 0x80, byte(n>>7)&0x7f | 0x80, byte(n >> 14)}) + nested
	}
	v := startVictim(t)
	for name, body := range map[string]string{
		"cut varint":               "\x08\xff",
		"varint of 11 bytes":       "\x08" + varint + "\x01",
		"key of 11 bytes":          varint + "\x01",
		"wire type of a string":    "\x0a\x01x",
		"wire type 6":              "\x0e",
		"wire type 7":              "\x0f",
		"start of a group":         "\x0b",
		"end of a group":           "\x0c",
		"10,000 groups":            strings.Repeat("\xfb\x3f", 10_000),
		"length of 2 GiB":          "\x12\x80\x80\x80\x80\x08",
		"length of 2^63":           "\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"length behind the end":    "\x12\x05x",
		"field number 0":           "\x00\x01",
		"10,000 messages deep":     "\x08\x1e" + nested,
		"64-bit value that is cut": "\x09\x01\x02",
		"JSON":                     health,
		"no type":                  "\x12\x00",
	} {
		for _, path := range []string{api, schedAPI} {
			if status, answer := v.send(post(path, protoType, body)); status != 400 {
				t.Errorf("%s to %s: %d %s", name, path, status, answer)
			}
		}
	}
	v.well()
}

// TestHostileFilesRequestsAreRefused holds the catalogue of the files endpoints. A master has one file to show: its log.
func TestHostileFilesRequestsAreRefused(t *testing.T) {
	v := startVictim(t)
	for _, path := range []string{"..", "/..", "/master/log/../../etc/passwd", "/etc/passwd", "%2e%2e/etc/passwd", "/master/%6cog%00", "%00", "/master/log/",
		strings.Repeat("a/", 10_000), "%252e%252e"} {
		for _, endpoint := range []string{"browse", "read", "download"} {
			if status, body := v.send(getRaw("/files/" + endpoint + "?path=" + path)); status != 404 && status != 400 {
				t.Errorf("%s %s: %d %s", endpoint, head(path), status, body)
			}
		}
	}
	for _, query := range []string{"offset=-2", "offset=x", "length=-2", "length=1e400", "offset=99999999999999999999"} {
		if status, body := v.send(getRaw("/files/read?path=/master/log&" + query)); status != 400 && status != 404 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
	v.well()
}

// TestHostileInputCostsABoundedAmount looks at what is left in memory after large bad bodies.
func TestHostileInputCostsABoundedAmount(t *testing.T) {
	v := startVictim(t)
	before := liveBytes()
	for _, body := range []string{strings.Repeat("[", 8<<20), `{"type":"` + strings.Repeat("x", 15<<20) + `"}`, gzipped(256 << 20)} {
		for _, media := range []string{jsonType, protoType} {
			if status, answer := v.send(post(api, media, body)); status != 400 {
				t.Errorf("%q: %d %s", head(body), status, answer)
			} else if len(answer) > 500 {
				t.Errorf("%q is answered with %d bytes or more", head(body), len(answer))
			}
		}
	}
	v.well()
	if grown := liveBytes() - before; grown > 64<<20 {
		t.Errorf("%d MiB more are held", grown>>20)
	}
}

func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
