package linux_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer/linux"
	mesos "agora.dev/agora/api/mesos/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// imageOf is an image whose USER is the reference's name.
type imageOf struct{ layers []string }

func (i imageOf) Provision(_ context.Context, image *mesos.Image) (linux.RootFS, error) {
	return linux.RootFS{Layers: i.layers, Config: ocispec.ImageConfig{User: image.GetDocker().GetName()}}, nil
}

const hostilePasswd = `root:x:0:0::/root:/bin/sh
app:x:1234:1235::/:/bin/sh
wraps:x:4294967296:0::/:/bin/sh
high:x:2147483648:0::/:/bin/sh
minus:x:-1:0::/:/bin/sh
`

// TestUsersOfAnImageAreReadInItAndNeverWrapToRoot has an image that tries.
func TestUsersOfAnImageAreReadInItAndNeverWrapToRoot(t *testing.T) {
	upper := filepath.Join(t.TempDir(), "etc")
	for name, text := range map[string]string{"passwd": hostilePasswd, "group": "root:x:0:\nteam:x:77:app\nfar:x:4294967296:\n"} {
		if err := errorOf(os.MkdirAll(upper, 0o755), os.WriteFile(filepath.Join(upper, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, func(c *linux.Config) {
		c.Images = imageOf{[]string{c.Images.(busybox).dir, filepath.Dir(upper)}}
	})
	for i, c := range []struct{ user, want string }{
		{"app", "1234 1235 1235\n"}, {"app:team", "1234 77 77\n"}, {"1234", "1234 1235 1235\n"}, {"4321", "4321 0 0\n"}, {"2147483647", "2147483647 0 0\n"},
		{"app:9", "1234 9 9\n"}, {"", "0 0 0\n"},
	} {
		s := withImage(w.spec("user"+string(rune('a'+i)), `echo $(id -u) $(id -g) $(id -G 2>/dev/null)`))
		s.Container.Mesos.Image.Docker.Name = &c.user
		if code, out := w.run(s); code != 0 || out != c.want {
			t.Errorf("%q: code %d, %q; want %q", c.user, code, out, c.want)
		}
	}
	for i, user := range []string{"wraps", "high", "minus", "daemon", "2147483648", "4294967296", "-1", "app:far", "app:2147483648", "app:none"} {
		s := withImage(w.spec("refused"+string(rune('a'+i)), `id`))
		s.Container.Mesos.Image.Docker.Name = &user
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), "of the image") {
			t.Errorf("%q: %v", user, err)
		}
	}
}

// TestAccountsOfAnImageThatAreNoFilesHangNobody has pipes in their places, which would be waited for.
func TestAccountsOfAnImageThatAreNoFilesHangNobody(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	if err := errorOf(os.Mkdir(etc, 0o755), unix.Mkfifo(filepath.Join(etc, "passwd"), 0o644), os.Symlink("/etc/group", filepath.Join(etc, "group"))); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *linux.Config) {
		c.Images = imageOf{[]string{filepath.Dir(etc)}}
	})
	for i, user := range []string{"app", "1:adm"} {
		s := withImage(w.spec("piped"+string(rune('a'+i)), `id`))
		s.Container.Mesos.Image.Docker.Name = &user
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), "of the image") {
			t.Errorf("%q: %v", user, err)
		}
	}
}
