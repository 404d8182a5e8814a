package fetcher

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/klauspost/compress/gzip"
)

func uri(value string, change ...func(*mesos.CommandInfo_URI)) *mesos.CommandInfo_URI {
	extract := true
	out := &mesos.CommandInfo_URI{Value: &value, Extract: &extract}
	for _, c := range change {
		c(out)
	}
	return out
}

func fetchAll(t *testing.T, config Config, uris ...*mesos.CommandInfo_URI) (sandbox, log string, err error) {
	t.Helper()
	f, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	sandbox = t.TempDir()
	var stderr bytes.Buffer
	err = f.Fetch(t.Context(), uris, sandbox, "", &stderr)
	return sandbox, stderr.String(), err
}

func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 2
		}
		h.Mode = 0o755
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, "ok")
		}
	}
	w.Close()
	return buffer.Bytes()
}

func gzipped(data []byte) []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	w.Write(data)
	w.Close()
	return buffer.Bytes()
}

func zipOf(name string) []byte {
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	entry, _ := w.Create(name)
	io.WriteString(entry, "ok")
	w.Close()
	return buffer.Bytes()
}

// serve answers with the files by their path, and counts the requests.
func serve(t *testing.T, files map[string][]byte) (string, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server.URL, &count
}

func TestFetchUnpacksArchivesAndKeepsFiles(t *testing.T) {
	plain := tarOf(t, tar.Header{Name: "dir/größe.txt", Typeflag: tar.TypeReg}, tar.Header{Name: "dir/l", Linkname: "größe.txt", Typeflag: tar.TypeSymlink})
	base, _ := serve(t, map[string][]byte{"/a.tar.gz": gzipped(plain), "/b.zip": zipOf("zipped.txt"), "/c.gz": gzipped([]byte("c")), "/run": []byte("#!")})
	host := filepath.Join(t.TempDir(), "h.tar")
	if err := os.WriteFile(host, tarOf(t, tar.Header{Name: "host.txt", Typeflag: tar.TypeReg}), 0o600); err != nil {
		t.Fatal(err)
	}
	yes, to := true, "sub/run me"
	sandbox, log, err := fetchAll(t, Config{}, uri(base+"/a.tar.gz"), uri(base+"/b.zip"), uri(base+"/c.gz"), uri("file://"+host),
		uri(base+"/run", func(u *mesos.CommandInfo_URI) { u.Executable, u.OutputFile = &yes, &to }))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/größe.txt", "dir/l", "zipped.txt", "c", "host.txt", "sub/run me"} {
		if _, err := os.Stat(filepath.Join(sandbox, name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(filepath.Join(sandbox, to)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("executable: %v %v", info, err)
	}
	if !strings.Contains(log, "fetching "+base+"/run") {
		t.Errorf("log: %s", log)
	}
}

func TestHostileArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	cases := map[string][]tar.Header{
		"parent":        {{Name: "../x", Typeflag: tar.TypeReg}},
		"absolute":      {{Name: "/etc/x", Typeflag: tar.TypeReg}},
		"link out":      {{Name: "l", Linkname: "/etc", Typeflag: tar.TypeSymlink}},
		"climbing link": {{Name: "a/l", Linkname: "../../x", Typeflag: tar.TypeSymlink}},
		"hidden climb":  {{Name: "p/d", Linkname: "..", Typeflag: tar.TypeSymlink}, {Name: "l", Linkname: "p/d/../x", Typeflag: tar.TypeSymlink}},
		"through link":  {{Name: "p/d", Linkname: "..", Typeflag: tar.TypeSymlink}, {Name: "p/d/l", Linkname: "../x", Typeflag: tar.TypeSymlink}},
		"hard link out": {{Name: "h", Linkname: "../../etc/passwd", Typeflag: tar.TypeLink}},
		"device":        {{Name: "n", Typeflag: tar.TypeChar}},
		"late":          {{Name: "good/f", Typeflag: tar.TypeReg}, {Name: "../x", Typeflag: tar.TypeReg}},
		"output":        {{Name: "stderr", Linkname: "x", Typeflag: tar.TypeSymlink}},
	}
	files := map[string][]byte{"/slip.zip": zipOf("../x")}
	for name, headers := range cases {
		files["/"+name+".tar"] = tarOf(t, headers...)
	}
	base, _ := serve(t, files)
	for path := range files {
		sandbox, _, err := fetchAll(t, Config{}, uri(base+strings.ReplaceAll(path, " ", "%20")))
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, want a refusal", path, err)
		}
		if left, _ := os.ReadDir(sandbox); len(left) != 0 {
			t.Errorf("%s: left %v", path, left)
		}
	}
}

func TestLinkLocalAddressesAreRefusedAlsoAfterARedirect(t *testing.T) {
	redirect := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest", http.StatusFound))
	t.Cleanup(redirect.Close)
	for _, value := range []string{"http://169.254.169.254/x", "http://[fe80::1]/x", "http://[::ffff:169.254.169.254]/x", redirect.URL + "/x", "http://good.example@169.254.169.254/x"} {
		if _, _, err := fetchAll(t, Config{}, uri(value)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, want a refusal", value, err)
		}
	}
	f, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	// 2851995902 is 169.254.169.254 for resolvers that read numbers: the dial decides.
	if conn, err := f.client.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "169.254.169.254:80"); !errors.Is(err, ErrRefused) {
		t.Errorf("dialled %v, %v", conn, err)
	}
}

func TestBadURIsAreRefused(t *testing.T) {
	up, out := "../x", "stdout"
	for _, u := range []*mesos.CommandInfo_URI{
		uri(""), uri("gopher://h/x"), uri("--option"), uri("http://"), uri("file://relative"), uri("relative"), uri("http://h/x\n"), uri("http://h/"),
		uri("http://h/x", func(u *mesos.CommandInfo_URI) { u.OutputFile = &up }), uri("http://h/x", func(u *mesos.CommandInfo_URI) { u.OutputFile = &out }),
	} {
		if _, _, err := fetchAll(t, Config{}, u); !errors.Is(err, ErrURI) {
			t.Errorf("%q: got %v", u.GetValue(), err)
		}
	}
}

func TestCachedFilesAreFetchedOnceAndBounded(t *testing.T) {
	base, count := serve(t, map[string][]byte{"/a": make([]byte, 600), "/b": make([]byte, 600)})
	yes := true
	cached := func(u *mesos.CommandInfo_URI) { u.Cache = &yes }
	config := Config{CacheDir: t.TempDir(), CacheSize: 1000}
	for range 3 {
		if _, _, err := fetchAll(t, config, uri(base+"/a", cached)); err != nil {
			t.Fatal(err)
		}
	}
	if count.Load() != 1 {
		t.Errorf("%d requests, want 1", count.Load())
	}
	if _, _, err := fetchAll(t, config, uri(base+"/b", cached)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(config.CacheDir); len(left) != 1 {
		t.Errorf("cache holds %v, want the younger file alone", left)
	}
}

func TestAStalledDownloadEnds(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
		<-stop
	}))
	defer server.Close()
	defer close(stop)
	if _, _, err := fetchAll(t, Config{StallAfter: 50 * time.Millisecond}, uri(server.URL+"/x")); !errors.Is(err, ErrStalled) {
		t.Errorf("got %v", err)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	base, _ := serve(t, map[string][]byte{"/big": make([]byte, 2000), "/bomb.tar.gz": gzipped(tarOf(t, tar.Header{Name: "f", Typeflag: tar.TypeReg}))})
	for _, config := range []Config{{FileBytes: 1000}, {UnpackedBytes: 1}} {
		path := "/big"
		if config.UnpackedBytes != 0 {
			path = "/bomb.tar.gz"
		}
		if sandbox, _, err := fetchAll(t, config, uri(base+path)); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", path, err)
		} else if left, _ := os.ReadDir(sandbox); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add("http://host/a.tar.gz", "out")
	f.Add("file:///etc/../x", "")
	f.Fuzz(func(t *testing.T, value, output string) {
		u := uri(value)
		if output != "" {
			u.OutputFile = &output
		}
		if got, err := (Config{FrameworksHome: "/home"}).plan(u); err == nil && !filepath.IsLocal(got.name) {
			t.Errorf("%q, %q: %q leaves the sandbox", value, output, got.name)
		}
	})
}
