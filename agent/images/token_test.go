package images

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/internal/testkit/imagekit"
	"github.com/google/go-containerregistry/pkg/authn"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sys/unix"
)

// tokenRegistry is a registry that wants a bearer token, and the server that gives it
// for user:secret. realm may lead elsewhere.
func tokenRegistry(t *testing.T, realm string) string {
	t.Helper()
	inner := fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)))
	var base string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/token" && user == "user" && password == "secret":
			fmt.Fprint(w, `{"token":"good"}`)
		case r.URL.Path == "/token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.Header.Get("Authorization") != "Bearer good":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test"`, base+"/token"))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	if base = realm; base == "" {
		base = server.URL
	}
	return strings.TrimPrefix(server.URL, "http://")
}

// as logs in to the registry of an image.
func as(ref, user, password string) logins.Logins {
	registry, _, _ := strings.Cut(ref, "/")
	return logins.One(registry, logins.Login{Username: user, Password: password})
}

func TestPullWithATokenAndWithoutOne(t *testing.T) {
	ref := tokenRegistry(t, "") + "/team/app:1"
	if err := imagekit.Push(ref, testImage(t), remote.WithAuth(&authn.Basic{Username: "user", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{})
	if _, err := s.Pull(t.Context(), ref, as(ref, "user", "secret"), nil); err != nil {
		t.Error(err)
	}
	_, err := s.Pull(t.Context(), ref, as(ref, "user", "wrong-canary"), nil)
	if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "wrong-canary") {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsAreNotSentToAForeignTokenServer(t *testing.T) {
	ref := tokenRegistry(t, "http://tokens.example.com") + "/team/app:1"
	_, err := newStore(t, Config{}).Pull(t.Context(), ref, as(ref, "user", "secret"), nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// TestAFullDiskLeavesNothing mounts a small tmpfs in a mount namespace of one thread,
// which ends with it.
func TestAFullDiskLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tmpfs")
	}
	data, err := imagekit.Tar(imagekit.File{Name: "big", Content: strings.Repeat("0123456789abcdef", 1<<18)})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{}, data)
	if err != nil {
		t.Fatal(err)
	}
	layout, disk := filepath.Join(t.TempDir(), "layout"), t.TempDir()
	if err := imagekit.Layout(layout, image); err != nil {
		t.Fatal(err)
	}
	// The store works on several threads; a descriptor of the mount reaches all of them.
	opened := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer close(opened)
		if unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS) != nil || unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") != nil ||
			unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m") != nil {
			return
		}
		if fd, err := unix.Open(disk, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			opened <- fd
		}
	}()
	fd, ok := <-opened
	if !ok {
		t.Skip("no tmpfs can be mounted here")
	}
	defer unix.Close(fd)
	s, err := Open(fmt.Sprintf("/proc/self/fd/%d", fd), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), layout); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	for _, dir := range []string{tmpDir, layersDir, imagesDir} {
		if left, err := os.ReadDir(s.path(dir)); err != nil || len(left) != 0 {
			t.Errorf("%s holds %v, %v", dir, left, err)
		}
	}
}
