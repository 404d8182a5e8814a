package images

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/internal/testkit/imagekit"
)

func request(t *testing.T, method, url, mediaType string, body []byte) (int, []byte, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", mediaType)
	r.Header.Set("Content-Type", mediaType)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, data, response.Header
}

// schema1Image pushes an image to a real registry, has it converted to schema 1 and signed,
// and pushes that as team/app:old. It gives the manifest and its digest, too.
func schema1Image(t *testing.T) (registry string, manifest []byte, digest string) {
	t.Helper()
	registry = startRegistry(t, "compatibility: {schema1: {enabled: true}}")
	if err := imagekit.PushDocker(registry+"/team/app:1", testImage(t)); err != nil {
		t.Fatal(err)
	}
	status, manifest, _ := request(t, "GET", "http://"+registry+"/v2/team/app/manifests/1", schema1Signed, nil)
	if status != 200 || !bytes.Contains(manifest, []byte(`"schemaVersion": 1`)) {
		t.Fatalf("conversion: %d %.300s", status, manifest)
	}
	manifest = bytes.Clone(manifest)
	status, answer, header := request(t, "PUT", "http://"+registry+"/v2/team/app/manifests/1", schema1Signed, manifest)
	if status != 201 {
		t.Fatalf("push: %d %s", status, answer)
	}
	return registry, manifest, header.Get("Docker-Content-Digest")
}

func TestASignedImageOfSchema1IsConverted(t *testing.T) {
	registry, _, digest := schema1Image(t)
	s := newStore(t, Config{})
	for _, ref := range []string{registry + "/team/app:1", registry + "/team/app@" + digest} {
		image, err := s.Pull(t.Context(), ref, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if image.Digest != digest {
			t.Errorf("%s: digest %s, want %s", ref, image.Digest, digest)
		}
		root, err := s.RootFS(ref)
		if err != nil {
			t.Fatal(err)
		}
		checkTestImage(t, s, root)
		if strings.Join(root.Config.Env, " ") != "A=b" {
			t.Errorf("%s: configuration %+v", ref, root.Config)
		}
	}
	if left, _ := os.ReadDir(s.path(tmpDir)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	path := filepath.Join(t.TempDir(), "saved.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.Save(t.Context(), file, registry+"/team/app:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t, Config{}).Load(t.Context(), path); err != nil {
		t.Error(err)
	}
}

func TestAManifestOfSchema1ThatWasChangedIsRefused(t *testing.T) {
	_, manifest, digest := schema1Image(t)
	if payload, err := schema1Payload(manifest); err != nil || digestOf(payload) != digest {
		t.Fatalf("%v; %s", err, digest)
	}
	for name, change := range map[string]func(string) string{
		"name":      func(m string) string { return strings.Replace(m, "team/app", "team/bad", 1) },
		"layer":     func(m string) string { return strings.Replace(m, `"blobSum": "sha256:`, `"blobSum": "sha256:0`, 1) },
		"signature": func(m string) string { return strings.Replace(m, `"signature": "`, `"signature": "AAAA`, 1) },
		"length":    func(m string) string { return strings.Replace(m, `"protected": "`, `"protected": "e30`, 1) },
		"algorithm": func(m string) string { return strings.Replace(m, "ES256", "none", 1) },
	} {
		changed := change(string(manifest))
		if changed == string(manifest) {
			t.Fatalf("%s: nothing was changed in %s", name, manifest)
		}
		if _, err := schema1Payload([]byte(changed)); !errors.Is(err, ErrHostile) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	files := map[string][]byte{"/v2/a/manifests/1": []byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"../../x"}],"history":[{"v1Compatibility":"{}"}]}`),
		"/v2/a/manifests/2": []byte(`{"schemaVersion":1,"fsLayers":[],"history":[]}`)}
	registry := handRegistry(t, files, map[string]string{"/v2/a/manifests/1": schema1 + "+json", "/v2/a/manifests/2": schema1 + "+json"})
	for _, tag := range []string{"1", "2"} {
		if _, err := newStore(t, Config{}).Pull(t.Context(), registry+"/a:"+tag, nil, nil); !errors.Is(err, ErrHostile) {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
}

func FuzzSchema1(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":1,"signatures":[{"header":{"alg":"ES256","jwk":{"kty":"EC","crv":"P-256"}},"protected":"e30"}]}`))
	f.Fuzz(func(_ *testing.T, data []byte) { schema1Payload(data) })
}
