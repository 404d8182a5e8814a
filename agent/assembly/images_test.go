package assembly

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/isolators/secrets"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/internal/testkit/imagekit"
)

// privateRegistry holds team/app:1 for joe.
func privateRegistry(t *testing.T) string {
	t.Helper()
	inner := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "joe" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	registry := strings.TrimPrefix(server.URL, "http://")
	data, err := imagekit.Tar(imagekit.File{Name: "f", Content: "x"})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{}, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := imagekit.Push(registry+"/team/app:1", image, remote.WithAuth(&authn.Basic{Username: "joe", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	return registry
}

func TestAnImageBringsItsOwnLogin(t *testing.T) {
	registry, dir := privateRegistry(t), t.TempDir()
	config := fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, registry, base64.StdEncoding.EncodeToString([]byte("joe:secret")))
	if err := os.WriteFile(filepath.Join(dir, "pull"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	value := func(data []byte) *mesos.Secret {
		return &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: data}}
	}
	for name, c := range map[string]struct {
		image *mesos.Image_Docker
		err   string
	}{
		"a secret by value": {&mesos.Image_Docker{Config: value(config)}, ""},
		"a secret by reference": {&mesos.Image_Docker{Config: &mesos.Secret{Type: mesos.Secret_REFERENCE.Enum(),
			Reference: &mesos.Secret_Reference{Name: proto.String("pull")}}}, ""},
		"the older credential": {&mesos.Image_Docker{Credential: &mesos.Credential{Principal: proto.String("joe"), Secret: proto.String("secret")}}, ""},
		"nothing":              {&mesos.Image_Docker{}, "refused"},
		"a wrong credential":   {&mesos.Image_Docker{Credential: &mesos.Credential{Principal: proto.String("joe"), Secret: proto.String("canary")}}, "refused"},
		"no config.json":       {&mesos.Image_Docker{Config: value([]byte("canary"))}, "config.json"},
		"an unknown secret": {&mesos.Image_Docker{Config: &mesos.Secret{Type: mesos.Secret_REFERENCE.Enum(),
			Reference: &mesos.Secret_Reference{Name: proto.String("none")}}}, `secret "none"`},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := openImages(agent.Config{WorkDir: t.TempDir()}, nil, new(metrics.Timer))
			if err != nil {
				t.Fatal(err)
			}
			c.image.Name = proto.String(registry + "/team/app:1")
			p := provisioner{store, secrets.Files{Dir: dir}, false}
			root, err := p.Provision(t.Context(), &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: c.image})
			switch {
			case c.err == "" && (err != nil || len(root.Layers) != 1):
				t.Errorf("got %v, %v", root, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "canary")):
				t.Errorf("got %v, want %q", err, c.err)
			}
		})
	}
}

// TestWhatAnImageSaysOfItsCommandCanBeLeftOut: --docker_ignore_runtime.
func TestWhatAnImageSaysOfItsCommandCanBeLeftOut(t *testing.T) {
	store, err := openImages(agent.Config{WorkDir: t.TempDir()}, nil, new(metrics.Timer))
	if err != nil {
		t.Fatal(err)
	}
	for _, bare := range []bool{false, true} {
		p := provisioner{store, secrets.Files{}, bare}
		root, err := p.Provision(t.Context(), &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: proto.String("builtin/demo")}})
		if err != nil {
			t.Fatal(err)
		}
		said := len(root.Config.Cmd)+len(root.Config.Entrypoint)+len(root.Config.Env) > 0
		if said == bare || len(root.Layers) == 0 {
			t.Errorf("bare %v: %+v", bare, root)
		}
	}
}

func TestOptionsOfImagesAreChecked(t *testing.T) {
	for option, want := range map[string][2]string{"": {}, "https://registry-1.docker.io": {}, "http://127.0.0.1:5000/lib/": {"127.0.0.1:5000/lib", ""}, "/srv/images": {"", "/srv/images"}} {
		c := agent.Config{}
		c.DockerRegistry = option
		registry, archives, err := c.RegistryAndArchives()
		if err != nil || registry != want[0] || archives != want[1] {
			t.Errorf("%q: %q, %q, %v; want %q", option, registry, archives, err, want)
		}
	}
	for _, bad := range []agent.ImageOptions{{DockerRegistry: "hdfs://n/images"}, {DockerRegistry: "relative"}, {DockerRegistry: "https://u:p@h"}, {DockerMirrors: "x"}} {
		if _, err := openImages(agent.Config{WorkDir: t.TempDir(), ImageOptions: bad}, nil, new(metrics.Timer)); err == nil || !strings.Contains(err.Error(), "--docker_") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
