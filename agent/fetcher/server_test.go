package fetcher

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

func serveFunc(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnInterruptedDownloadGoesOnWhenTheServerStillHasTheSame(t *testing.T) {
	for name, etags := range map[string][]string{"the same": {`"a"`, `"a"`}, "another": {`"a"`, `"b"`}, "unknown": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			bodies := []string{"0123456789", "0123456789"}
			if name == "another" {
				bodies[1] = "abcdefghij"
			}
			var ranges []string
			base := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
				n := len(ranges)
				ranges = append(ranges, r.Header.Get("Range"))
				if n == 0 {
					w.Header().Set("ETag", etags[0])
					w.Header().Set("Content-Length", "10")
					io.WriteString(w, "0123")
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("ETag", etags[1])
				http.ServeContent(w, r, "x", time.Time{}, strings.NewReader(bodies[1]))
			})
			sandbox, _, err := fetchAll(t, Config{RetryAfter: time.Millisecond}, uri(base+"/x"))
			if err != nil || content(t, sandbox, "x") != bodies[1] {
				t.Errorf("%v", err)
			}
			if resumed := ranges[1] == "bytes=4-"; resumed != (etags[0] != "") {
				t.Errorf("asked for %q", ranges)
			}
		})
	}
}

func TestATroubledServerIsAskedThreeTimes(t *testing.T) {
	for status, want := range map[int]int32{503: 3, 500: 3, 429: 3, 404: 1, 403: 1} {
		var asked atomic.Int32
		base := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); w.WriteHeader(status) })
		_, _, err := fetchAll(t, Config{RetryAfter: time.Millisecond}, uri(base+"/x"))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || asked.Load() != want {
			t.Errorf("%d: asked %d times, want %d: %v", status, asked.Load(), want, err)
		}
	}
}

func TestTheCacheAsksWhetherItsCopyIsStillGood(t *testing.T) {
	var version, full, down atomic.Int32
	version.Store(1)
	base := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if status := down.Load(); status > 0 {
			w.WriteHeader(int(status))
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, version.Load()))
		if r.Header.Get("If-None-Match") == fmt.Sprintf(`"%d"`, version.Load()) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full.Add(1)
		fmt.Fprintf(w, "version %d", version.Load())
	})
	yes := true
	cached := func(u *mesos.CommandInfo_URI) { u.Cache = &yes }
	config := Config{CacheDir: t.TempDir(), RetryAfter: time.Millisecond}
	defer func() {
		down.Store(http.StatusForbidden)
		if _, _, err := fetchAll(t, config, uri(base+"/x", cached)); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("forbidden by now: %v", err)
		}
	}()
	for i, step := range []struct {
		version, down, full int32
		want                string
	}{{1, 0, 1, "version 1"}, {1, 0, 1, "version 1"}, {2, 0, 2, "version 2"}, {3, 503, 2, "version 2"}, {3, 0, 3, "version 3"}} {
		version.Store(step.version)
		down.Store(step.down)
		sandbox, log, err := fetchAll(t, config, uri(base+"/x", cached))
		if err != nil || content(t, sandbox, "x") != step.want || full.Load() != step.full {
			t.Errorf("step %d: %v; %d full answers", i, err, full.Load())
		}
		if said := strings.Contains(log, "cached copy"); said != (step.down > 0) {
			t.Errorf("step %d: log %q", i, log)
		}
	}
}

func TestFetchesOfOneCachedURIAreOne(t *testing.T) {
	var asked atomic.Int32
	base := serveFunc(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); io.WriteString(w, "x") })
	f, err := New(Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	var group sync.WaitGroup
	for range 8 {
		sandbox := t.TempDir()
		group.Go(func() {
			u := uri(base+"/x", func(u *mesos.CommandInfo_URI) { u.Cache = &yes })
			if err := f.Fetch(t.Context(), []*mesos.CommandInfo_URI{u}, sandbox, "", io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestALoginOfAURIGoesToItsServerOnly(t *testing.T) {
	var leaked atomic.Int32
	other := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		io.WriteString(w, "other")
	})
	other = strings.Replace(other, "127.0.0.1", "localhost", 1)
	base := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "joe" || password != "canary":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/away":
			http.Redirect(w, r, other+"/x", http.StatusFound)
		case r.URL.Path == "/back":
			http.Redirect(w, r, "http://joe:canary@"+r.Host+"/x", http.StatusFound)
		default:
			io.WriteString(w, "private")
		}
	})
	with := func(user, path string) string { return strings.Replace(base, "http://", "http://"+user+"@", 1) + path }
	sandbox, log, err := fetchAll(t, Config{}, uri(with("joe:canary", "/x")), uri(with("joe:canary", "/away")))
	if err != nil || content(t, sandbox, "x") != "private" || content(t, sandbox, "away") != "other" || leaked.Load() != 0 || strings.Contains(log, "canary") {
		t.Errorf("%v; leaked %d times; log %s", err, leaked.Load(), log)
	}
	for _, bad := range []string{with("joe:wrong-canary", "/x"), with("joe:canary", "/back"), base + "/x"} {
		_, log, err := fetchAll(t, Config{}, uri(bad))
		if err == nil || strings.Contains(err.Error()+log, "canary") {
			t.Errorf("%s: %v; log %s", bad, err, log)
		}
	}
}

func TestHadoopsClientBringsItsSchemes(t *testing.T) {
	home := t.TempDir()
	program := "#!/bin/sh\n[ \"$1 $2\" = 'fs -copyToLocal' ] || exit 9\ncase \"$3\" in *missing*) echo \"no such file: $3\" >&2; exit 1;; *big*) head -c 2000 /dev/zero > \"$4\";; *) printf '%s' \"$3\" > \"$4\";; esac\n"
	if err := os.MkdirAll(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "bin/hadoop"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	config := Config{HadoopHome: home, CacheDir: t.TempDir(), FileBytes: 1000}
	sandbox, _, err := fetchAll(t, config, uri("hdfs://name:9000/a/b c;id"), uri("hdfs:///default"), uri("s3n://bucket/$(id)"))
	if err != nil || content(t, sandbox, "default") != "hdfs:///default" {
		t.Fatalf("%v", err)
	}
	for value, want := range map[string]string{"hdfs://n/missing": "no such file", "hdfs://n/big": "more than", "hdfs://n/": "relative path"} {
		if _, _, err := fetchAll(t, config, uri(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
	if _, log, err := fetchAll(t, config, uri("s3n://key:canary@bucket/missing")); err == nil || strings.Contains(err.Error()+log, "canary") {
		t.Errorf("%v; log %s", err, log)
	}
	if _, _, err := fetchAll(t, Config{HadoopHome: t.TempDir()}, uri("hdfs://n/x")); !errors.Is(err, errNoHadoop) {
		t.Errorf("without a client: %v", err)
	}
	if left, _ := os.ReadDir(config.CacheDir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSetuidIsNotUnpacked(t *testing.T) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	w.WriteHeader(&tar.Header{Name: "run", Typeflag: tar.TypeReg, Mode: 0o6755})
	w.Close()
	base, _ := serve(t, map[string][]byte{"/a.tar": archive.Bytes()})
	sandbox, _, err := fetchAll(t, Config{}, uri(base+"/a.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(sandbox, "run")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
