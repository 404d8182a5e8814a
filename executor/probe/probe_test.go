package probe_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/executor/checks"
	"agora.dev/agora/executor/probe"
)

func port(t *testing.T, address string) uint32 {
	t.Helper()
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// get probes a path of a server and returns the status, or why there is none.
func get(t *testing.T, server *httptest.Server, path string, timeout time.Duration) (uint32, error) {
	t.Helper()
	scheme, _, _ := strings.Cut(server.URL, ":")
	p := checks.Probe{Timeout: timeout, HTTP: &checks.HTTP{Scheme: scheme, Port: port(t, server.URL), Path: path}}
	result, err := probe.Network(t.Context(), p, probe.Host)
	if err != nil {
		return 0, err
	}
	return *result.StatusCode, nil
}

func want(t *testing.T, server *httptest.Server, path string, status uint32) {
	t.Helper()
	if got, err := get(t, server, path, time.Minute); err != nil || got != status {
		t.Errorf("GET %s: status %d, error %v; want %d", path, got, err, status)
	}
}

func TestHTTPStatusIsReported(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") })
	mux.HandleFunc("/ill", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("a") != "b c" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	for _, server := range []*httptest.Server{httptest.NewServer(mux), httptest.NewTLSServer(mux)} {
		defer server.Close()
		want(t, server, "/ok", 200)
		want(t, server, "/ill", 503)
		want(t, server, "/early", 202)
		want(t, server, "/query?a=b%20c", 200)
		want(t, server, "/none", 404)
	}
}

// SSRF: a task must not be able to make the agent ask somebody else.
func TestRedirectsStayAtTheTask(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the other server was asked")
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/here", http.RedirectHandler("/there", http.StatusFound))
	mux.HandleFunc("/there", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	mux.Handle("/away", http.RedirectHandler(other.URL+"/there", http.StatusMovedPermanently))
	for path, location := range map[string]string{"/file": "file:///etc/passwd", "/bad": "http://["} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		})
	}
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusTemporaryRedirect))
	server := httptest.NewServer(mux)
	defer server.Close()
	want(t, server, "/here", 202)
	want(t, server, "/away", 301)
	want(t, server, "/file", 302)
	want(t, server, "/bad", 302)
	want(t, server, "/loop", 307)
	want(t, server, "//"+strings.TrimPrefix(other.URL, "http://")+"/there", 404)
}

func TestHostileServersCostABoundedAmount(t *testing.T) {
	ended := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/drip", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-ended
	})
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) { <-ended })
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(ended)
	want(t, server, "/endless", 200)
	want(t, server, "/drip", 200)
	if _, err := get(t, server, "/silent", 50*time.Millisecond); err == nil {
		t.Error("a server that never answers has a status")
	}
	if _, err := get(t, server, "/header", time.Minute); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a header of 1 MiB: %v", err)
	}
	if _, err := get(t, server, "no slash", time.Minute); err == nil {
		t.Error("a path without a slash was asked for")
	}
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	probeTCP := func(port uint32) string {
		r, err := probe.Network(t.Context(), checks.Probe{Timeout: time.Minute, TCP: &checks.TCP{Port: port}}, probe.Host)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(*r.Connected)
	}
	at := port(t, listener.Addr().String())
	if got := probeTCP(at); got != "true" {
		t.Errorf("open port: %s", got)
	}
	listener.Close()
	if got := probeTCP(at); got != "false" {
		t.Errorf("closed port: %s", got)
	}
	for _, bad := range []uint32{0, 70000} {
		if got := probeTCP(bad); !strings.Contains(got, "does not exist") {
			t.Errorf("port %d: %s", bad, got)
		}
	}
}

func TestTimeoutWithoutAnAnswerIsNoResult(t *testing.T) {
	hang := func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	r, err := probe.Network(t.Context(), checks.Probe{Timeout: time.Millisecond, TCP: &checks.TCP{Port: 1}}, hang)
	if err == nil || r.Connected != nil {
		t.Errorf("result %+v, error %v", r, err)
	}
}
