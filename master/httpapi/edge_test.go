package httpapi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/outbox"
)

func TestEverySpellingOfAPathReachesItsHandler(t *testing.T) {
	e := newEdge(t)
	for path, want := range map[string]int{
		"/state": 200, "/master/state": 200, "/state.json": 200, "/master/state.json": 200, "/master/frameworks/": 200,
		"/api/v1/operator": 405, "/master/api/v1/scheduler": 405, "/health": 200, "/master/health": 200, "/version": 200,
		"/redirect": 307, "/redirect/x": 404, "/nope": 404, "/master/nope": 404, "/metrics/snapshot": 200, "/state-summary": 200,
		"/roles": 200, "/flags": 200, "/tasks?limit=2&offset=x": 200, "/teardown": 405, "/": 200, "/help": 200, "/help/master/state": 200, "/help/nope": 404, "/system/stats.json": 200, "/logging/toggle": 200, "/files/debug": 200, "/files/browse": 400, "/master/help": 200,
	} {
		if status, _, body := e.serve(httptest.NewRequest("GET", path, nil)); status != want {
			t.Errorf("GET %s: %d %q, want %d", path, status, body, want)
		}
	}
}

func TestViewsAreJSONAlsoWhenCompressedOrWrapped(t *testing.T) {
	e := newEdge(t)
	r := httptest.NewRequest("GET", "/metrics/snapshot?jsonp=f.g", nil)
	if _, h, body := e.serve(r); !strings.HasPrefix(body, "f.g({") || h.Get("Content-Type") != "text/javascript" {
		t.Errorf("jsonp: %q %v", body, h)
	}
	if status, _, _ := e.serve(httptest.NewRequest("GET", "/version?jsonp=alert(1)//", nil)); status != 400 {
		t.Errorf("a callback that is a program: %d", status)
	}
	for i := range 200 {
		e.cfg.Flags[strings.Repeat("x", 1+i)] = "\x00\"\\\u2028é\xff"
	}
	r = httptest.NewRequest("GET", "/state", nil)
	r.Header.Set("Accept-Encoding", "gzip;q=1.0, identity")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || !json.Valid(plain) {
		t.Errorf("%v %s", err, plain)
	}
}

func TestBodyAboveTheLimitIsRefused(t *testing.T) {
	e := newEdge(t)
	e.cfg.MaxBody = 10
	r := httptest.NewRequest("POST", "/api/v1", strings.NewReader(`{"type":"GET_HEALTH"}`))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	if status, _, body := e.serve(r); status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %s", status, body)
	}
}

func TestMediaTypeParametersAreAccepted(t *testing.T) {
	e := newEdge(t)
	for _, media := range []string{"application/json; charset=utf-8", "application/json;charset=UTF-8", "APPLICATION/JSON"} {
		r := httptest.NewRequest("POST", "/api/v1", strings.NewReader(`{"type":"GET_HEALTH"}`))
		r.Header.Set("Content-Type", media)
		if status, _, body := e.serve(r); status != http.StatusOK || !strings.Contains(body, "healthy") {
			t.Errorf("%s: %d %s", media, status, body)
		}
	}
}

func TestBodyThatDoesNotComeIsGivenUp(t *testing.T) {
	e := newEdge(t)
	e.cfg.BodyTimeout = 10 * time.Millisecond
	web := httptest.NewServer(e)
	defer web.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{")
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestFrameworkThatDoesNotReadIsCutOff(t *testing.T) {
	e := newEdge(t)
	e.cfg.StreamBytes = 1 << 16
	web := httptest.NewServer(e)
	defer web.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}`
	io.WriteString(conn, "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 75\r\n\r\n"+body)
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		t.Fatal(err)
	}
	event := &scheduler.Event{Type: scheduler.Event_MESSAGE.Enum(), Message: &scheduler.Event_Message{Data: make([]byte, 32<<10)}}
	deadline := time.Now().Add(20 * time.Second)
	for e.streams.find(1) == nil && time.Now().Before(deadline) {
	}
	stream := e.streams.find(1)
	for stream.out.Put(event) == nil {
		if time.Now().After(deadline) {
			t.Fatal("a stream takes messages without end")
		}
	}
	<-stream.out.Done()
	if err := stream.out.Err(); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("cut off for %v", err)
	}
}
