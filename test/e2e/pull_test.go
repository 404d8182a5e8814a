package e2e

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"agora.dev/agora/internal/testkit/imagekit"
)

// TestAPrivateImageIsPulledInSight runs an image of a registry that wants a login and holds its
// layer back, saves it, and runs it in a cluster that has never heard of the registry.
func TestAPrivateImageIsPulledInSight(t *testing.T) {
	needRoot(t)
	files, err := imagekit.Busybox()
	if err != nil {
		t.Skip(err)
	}
	data, err := imagekit.Tar(files...)
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{Cmd: []string{"/bin/echo", "private"}, Env: []string{"PATH=/bin"}}, data)
	if err != nil {
		t.Fatal(err)
	}
	inner, goOn := registry.New(registry.Logger(log.New(io.Discard, "", 0))), make(chan struct{})
	layers, _ := image.Layers()
	digest, _ := layers[0].Digest()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "joe" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest.String()) {
			<-goOn
		}
		inner.ServeHTTP(w, r)
	}))
	var held sync.Once
	t.Cleanup(func() { held.Do(func() { close(goOn) }); server.Close() })
	ref := strings.TrimPrefix(server.URL, "http://") + "/team/private:1"
	if err := imagekit.Push(ref, image, remote.WithAuth(&authn.Basic{Username: "joe", Password: "s3cret"})); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.json")
	text := fmt.Sprintf(`{"auths":{%q:{"username":"joe","password":"s3cret"}}}`, strings.TrimPrefix(server.URL, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, "--docker_config", config)
	type result struct {
		code        int
		out, errOut string
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		r.code, r.out, r.errOut = d.agora(t, "run", ref)
		ended <- r
	}()
	eventually(t, "agora ps shows the pull", 30*time.Second, func() error {
		_, out, errOut := d.agora(t, "ps")
		if !strings.Contains(out, "pulling "+ref+": 0 of 1 layers") {
			return errors.New(out + errOut)
		}
		return nil
	})
	held.Do(func() { close(goOn) })
	if r := <-ended; r.code != 0 || r.out != "private\n" {
		t.Fatalf("agora run: exit %d, %q, %s", r.code, r.out, r.errOut)
	}
	archive := filepath.Join(t.TempDir(), "private.tar")
	if code, _, errOut := agora(t, "image", "save", ref, "-o", archive, "--store", filepath.Join(d.state, "images")); code != 0 {
		t.Fatalf("agora image save: exit %d: %s", code, errOut)
	}
	server.Close()
	other := startDev(t)
	if code, _, errOut := other.agora(t, "run", ref); code == 0 || !strings.Contains(errOut, ref) {
		t.Errorf("before it is loaded: exit %d, %s", code, errOut)
	}
	if code, out, errOut := agora(t, "image", "load", archive, "--store", filepath.Join(other.state, "images")); code != 0 || out != ref+"\n" {
		t.Fatalf("agora image load: exit %d, %q, %s", code, out, errOut)
	}
	if code, out, errOut := other.agora(t, "run", ref); code != 0 || out != "private\n" {
		t.Errorf("once it is loaded: exit %d, %q, %s", code, out, errOut)
	}
	if code, out, errOut := other.agora(t, "image", "prune"); code != 0 || out != "agent1\n" {
		t.Errorf("agora image prune: exit %d, %q, %s", code, out, errOut)
	}
	if code, out, errOut := agora(t, "image", "ls", "--store", filepath.Join(other.state, "images")); code != 0 || strings.Contains(out, ref) {
		t.Errorf("after the prune: exit %d, %s, %s", code, out, errOut)
	}
}
