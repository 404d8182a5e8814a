package images

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/internal/testkit/imagekit"
)

// fakeRegistry is a registry in this process; each request passes front first, which
// says whether it has answered.
func fakeRegistry(t *testing.T, front func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	inner := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if front == nil || !front(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// noise is an image whose layer does not compress.
func noise(t *testing.T, size int) (v1.Image, string) {
	t.Helper()
	content := make([]byte, size)
	rand.Read(content)
	data, err := imagekit.Tar(imagekit.File{Name: "noise", Content: string(content)})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{}, data)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return image, digest.String()
}

// cut sends a third of a blob at most, and then breaks the connection.
type cut struct {
	blob   string
	ranges bool // whether Range is honoured
	from   []string
}

func (c *cut) serve(content []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, c.blob) {
			return false
		}
		c.from = append(c.from, r.Header.Get("Range"))
		at := 0
		if c.ranges {
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at)
		}
		rest := content[at:]
		w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
		if at > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		share := len(content) / 3
		if !c.ranges {
			share *= len(c.from) // a server without ranges gives more each time
		}
		w.Write(rest[:min(len(rest), share)])
		w.(http.Flusher).Flush()
		if share < len(rest) {
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

func TestAnInterruptedLayerIsResumed(t *testing.T) {
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges %v", ranges), func(t *testing.T) {
			image, digest := noise(t, 3<<20)
			layers, _ := image.Layers()
			packed, err := layers[0].Compressed()
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(packed)
			c := &cut{blob: digest, ranges: ranges}
			ref := fakeRegistry(t, c.serve(content)) + "/a:1"
			if err := imagekit.Push(ref, image); err != nil {
				t.Fatal(err)
			}
			s := newStore(t, Config{Limits: Limits{RetryAfter: time.Millisecond}})
			if _, err := s.Pull(t.Context(), ref, nil, nil); err != nil {
				t.Fatal(err)
			}
			if len(c.from) < 3 || c.from[0] != "" || !strings.HasPrefix(c.from[1], "bytes=") || c.from[1] == "bytes=0-" {
				t.Errorf("asked for %q", c.from)
			}
		})
	}
}

func TestALayerThatNeverComesEndsAfterTheRetries(t *testing.T) {
	image, digest := noise(t, 1000)
	var asked atomic.Int32
	ref := fakeRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}) + "/a:1"
	if err := imagekit.Push(ref, image); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{Limits: Limits{RetryAfter: time.Millisecond, Retries: 3}})
	_, err := s.Pull(t.Context(), ref, nil, nil)
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "503") || asked.Load() != 4 {
		t.Errorf("after %d requests: %v", asked.Load(), err)
	}
}

func TestARegistryThatResumesAtAnotherPlaceIsRefused(t *testing.T) {
	image, digest := noise(t, 3<<20)
	first := true
	ref := fakeRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		if first {
			first = false
			w.Header().Set("Content-Length", "3000000")
			w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
		return true
	}) + "/a:1"
	if err := imagekit.Push(ref, image); err != nil {
		t.Fatal(err)
	}
	_, err := newStore(t, Config{Limits: Limits{RetryAfter: time.Millisecond}}).Pull(t.Context(), ref, nil, nil)
	if !errors.Is(err, ErrHostile) {
		t.Errorf("got %v", err)
	}
}

func TestMirrorsAreAskedInTheirOrderAndTheRegistryLast(t *testing.T) {
	image, digest := noise(t, 1000)
	counts := map[string]*atomic.Int32{}
	start := func(name string, broken bool) string {
		n := new(atomic.Int32)
		counts[name] = n
		return fakeRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest) {
				n.Add(1)
				if broken {
					http.NotFound(w, r)
					return true
				}
			}
			return false
		})
	}
	empty, halved, full, origin := start("empty", false), start("halved", true), start("full", false), start("origin", false)
	for _, ref := range []string{halved + "/team/a:1", full + "/hub/team/a:1", origin + "/team/a:1"} {
		if err := imagekit.Push(ref, image); err != nil {
			t.Fatal(err)
		}
	}
	closed := "127.0.0.1:1"
	for _, c := range []struct{ mirrors, from string }{
		{closed + "," + empty + "," + full + "/hub", "full"},
		{halved + "," + full + "/hub", "full"}, // its manifest, and the other's layer
		{closed + "," + empty, "origin"},
	} {
		for _, n := range counts {
			n.Store(0)
		}
		mirrors, err := ParseMirrors(origin + "=" + c.mirrors)
		if err != nil {
			t.Fatal(err)
		}
		s := newStore(t, Config{Mirrors: mirrors, Limits: Limits{RetryAfter: time.Millisecond}})
		pulled, err := s.Pull(t.Context(), origin+"/team/a:1", nil, nil)
		if err != nil || pulled.Reference != origin+"/team/a:1" {
			t.Errorf("%s: %v, %v", c.mirrors, pulled, err)
		}
		for name, n := range counts {
			if (n.Load() == 1) != (name == c.from) && name != "halved" {
				t.Errorf("%s: %s gave the layer %d times", c.mirrors, name, n.Load())
			}
		}
	}
	mirrors, _ := ParseMirrors("*=" + empty)
	_, err := newStore(t, Config{Mirrors: mirrors}).Pull(t.Context(), origin+"/team/none:1", nil, nil)
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "mirror "+empty) || !strings.Contains(err.Error(), origin) {
		t.Errorf("nobody has it: %v", err)
	}
}

func TestMirrorsAreRefusedWhenTheyAreNoHosts(t *testing.T) {
	for _, bad := range []string{"docker.io", "=a", "docker.io=", "docker.io=http://a", "docker.io=a b", "docker.io=a/../b/", "a=b;a=c"} {
		if got, err := ParseMirrors(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestALoginIsForItsRegistryNotForItsMirror(t *testing.T) {
	image, _ := noise(t, 1000)
	var told atomic.Int32
	spy := fakeRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			told.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	origin := fakeRegistry(t, nil)
	if err := imagekit.Push(origin+"/a:1", image); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{Mirrors: Mirrors{origin: {spy}}, Logins: logins.One(origin, logins.Login{Username: "u", Password: "p"})})
	if _, err := s.Pull(t.Context(), origin+"/a:1", nil, nil); err != nil || told.Load() != 0 {
		t.Errorf("the mirror was told %d times; %v", told.Load(), err)
	}
}

func TestNamesWithoutARegistryBelongToTheConfiguredOne(t *testing.T) {
	image, _ := noise(t, 1000)
	registry := fakeRegistry(t, nil)
	if err := imagekit.Push(registry+"/lib/a:1", image); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{Registry: registry + "/lib"})
	got, err := s.Pull(t.Context(), "a:1", nil, nil)
	if err != nil || got.Reference != registry+"/lib/a:1" {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := s.RootFS("a:1"); err != nil {
		t.Error(err)
	}
	if ref, err := s.parse("docker.io/library/a:1"); err != nil || ref.Registry != "docker.io" {
		t.Errorf("a full name: %v, %v", ref, err)
	}
}

func TestADirectoryOfArchivesStandsForTheRegistry(t *testing.T) {
	dir := t.TempDir()
	if err := imagekit.DockerArchive(filepath.Join(dir, "app:1.tar"), "something/else:7", testImage(t)); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{Archives: dir})
	root, err := s.Provision(t.Context(), "app:1", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	checkTestImage(t, s, root)
	if _, err := s.Provision(t.Context(), "none", nil, true); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

// handRegistry serves documents by their path.
func handRegistry(t *testing.T, files map[string][]byte, types map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", types[r.URL.Path])
		w.Write(data)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func sum512(data []byte) string {
	sum := sha512.Sum512(data)
	return "sha512:" + hex.EncodeToString(sum[:])
}

func TestDigestsOfSHA512AreVerified(t *testing.T) {
	layer, err := imagekit.Tar(imagekit.File{Name: "f", Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Appendf(nil, `{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]}}`, withDefaults(Config{}).Arch, sum512(layer))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json", sum512(config), len(config), sum512(layer), len(layer))
	at := "/v2/a/manifests/" + sum512(manifest)
	files := map[string][]byte{at: manifest, "/v2/a/blobs/" + sum512(config): config, "/v2/a/blobs/" + sum512(layer): layer}
	registry := handRegistry(t, files, map[string]string{at: "application/vnd.oci.image.manifest.v1+json"})
	ref := registry + "/a@" + sum512(manifest)
	s := newStore(t, Config{})
	image, err := s.Pull(t.Context(), ref, nil, nil)
	if err != nil || image.ID != sum512(config) || image.Digest != sum512(manifest) {
		t.Fatalf("%+v, %v", image, err)
	}
	if root, err := s.RootFS(ref); err != nil || len(root.Layers) != 1 {
		t.Errorf("%v, %v", root, err)
	}
	if pruned, err := s.Prune(t.Context(), []string{ref}); err != nil || pruned.Layers != 0 {
		t.Errorf("%+v, %v", pruned, err)
	}
	files["/v2/a/blobs/"+sum512(layer)] = append(bytes.Clone(layer[:len(layer)-1]), 1)
	if _, err := newStore(t, Config{}).Pull(t.Context(), ref, nil, nil); !errors.Is(err, ErrDigestMismatch) {
		t.Errorf("a changed layer: %v", err)
	}
	files[at] = append(bytes.Clone(manifest), ' ')
	if _, err := newStore(t, Config{}).Pull(t.Context(), ref, nil, nil); !errors.Is(err, ErrDigestMismatch) {
		t.Errorf("a changed manifest: %v", err)
	}
}

// foreignImage is a registry with an image whose layer is elsewhere.
func foreignImage(t *testing.T, layer []byte, urls ...string) string {
	t.Helper()
	config := fmt.Appendf(nil, `{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]}}`, withDefaults(Config{}).Arch, digestOf(layer))
	list, _ := json.Marshal(urls)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":%q,"size":%d,"urls":%s}]}`,
		dockerConfig, digestOf(config), len(config), digestOf(layer), len(layer), list)
	return handRegistry(t, map[string][]byte{"/v2/a/manifests/1": manifest, "/v2/a/blobs/" + digestOf(config): config},
		map[string]string{"/v2/a/manifests/1": dockerManifest}) + "/a:1"
}

func TestForeignLayersComeFromPublicOrListedHostsOnly(t *testing.T) {
	layer, err := imagekit.Tar(imagekit.File{Name: "f", Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var asked, told atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			told.Add(1)
		}
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
			return
		}
		w.Write(layer)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	limits := Limits{RetryAfter: time.Millisecond}
	ref := foreignImage(t, layer, "https://127.0.0.1:1/gone", server.URL+"/layer")
	given := as(ref, "u", "p")
	if _, err := newStore(t, Config{ForeignHosts: []string{host, "127.0.0.1:1"}, Limits: limits}).Pull(t.Context(), ref, given, nil); err != nil || told.Load() != 0 {
		t.Errorf("a listed host: %v; told %d times", err, told.Load())
	}
	asked.Store(0)
	for _, address := range []string{server.URL + "/layer", strings.Replace(server.URL, "http", "https", 1) + "/layer", "https://localhost:1/x",
		"https://10.0.0.1:1/x", "https://[::1]:1/x", "https://u:p@example.com/x", "file:///etc/passwd", "https://169.254.169.254/x"} {
		_, err := newStore(t, Config{Limits: limits}).Pull(t.Context(), foreignImage(t, layer, address), nil, nil)
		if !errors.Is(err, ErrHostile) || strings.Contains(err.Error(), "u:p@") {
			t.Errorf("%s: got %v, want a refusal", address, err)
		}
	}
	if asked.Load() != 0 {
		t.Error("a host was asked that is not listed")
	}
	_, err = newStore(t, Config{ForeignHosts: []string{host}, Limits: limits}).Pull(t.Context(), foreignImage(t, layer, server.URL+"/redirect"), nil, nil)
	if !errors.Is(err, ErrHostile) {
		t.Errorf("redirect: %v", err)
	}
}

func TestAnIndexGivesTheHighestVariantThatRuns(t *testing.T) {
	for _, c := range []struct {
		arch, own string
		offered   []string
		want      string
	}{
		{"arm", "v7", []string{"v5", "v7", "v6", "v8"}, "v7"}, {"arm", "", []string{"v6", "v8"}, "v6"}, {"arm", "v6", []string{"v7"}, ""},
		{"arm64", "", []string{"v8"}, "v8"}, {"arm64", "v8", []string{""}, ""}, {"amd64", "", []string{"v3", "v1"}, "v1"},
		{"amd64", "v3", []string{"", "v2", "v4"}, "v2"}, {"amd64", "", []string{"odd"}, ""},
	} {
		doc := document{}
		for _, v := range c.offered {
			doc.Manifests = append(doc.Manifests, indexEntry("linux", c.arch, v))
		}
		got, err := Config{OS: "linux", Arch: c.arch, Variant: c.own}.choose(doc)
		switch {
		case c.want == "" && c.offered[0] != "" && !errors.Is(err, ErrPlatform):
			t.Errorf("%+v: got %v, %v", c, got.Platform, err)
		case (c.want != "" || c.offered[0] == "") && (err != nil || got.Platform.Variant != c.want):
			t.Errorf("%+v: got %v, %v", c, got.Platform, err)
		}
	}
}

func indexEntry(os, arch, variant string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: dockerManifest, Platform: &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}}
}

func TestLayersMayBePackedInAnyWayWhateverTheirTypeSays(t *testing.T) {
	layer, err := imagekit.Tar(imagekit.File{Name: "f", Content: strings.Repeat("x", 5000)})
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var gzipped bytes.Buffer
	w := gzip.NewWriter(&gzipped)
	w.Write(layer)
	w.Close()
	for kind, packed := range map[string][]byte{"zstd": encoder.EncodeAll(layer, nil), "gzip": gzipped.Bytes(), "plain": layer} {
		for _, ending := range []string{"", "+gzip", "+zstd"} {
			config := fmt.Appendf(nil, `{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]}}`, withDefaults(Config{}).Arch, digestOf(layer))
			manifest := fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar%s","digest":%q,"size":%d}]}`,
				dockerConfig, digestOf(config), len(config), ending, digestOf(packed), len(packed))
			registry := handRegistry(t, map[string][]byte{"/v2/a/manifests/1": manifest, "/v2/a/blobs/" + digestOf(config): config, "/v2/a/blobs/" + digestOf(packed): packed},
				map[string]string{"/v2/a/manifests/1": ocispec.MediaTypeImageManifest})
			s := newStore(t, Config{})
			if _, err := s.Pull(t.Context(), registry+"/a:1", nil, nil); err != nil {
				t.Errorf("%s as tar%s: %v", kind, ending, err)
				continue
			}
			if err := s.Save(t.Context(), io.Discard, registry+"/a:1"); err != nil {
				t.Errorf("%s as tar%s: %v", kind, ending, err)
			}
		}
	}
}
