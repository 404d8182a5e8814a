package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"agora.dev/agora/internal/testkit/imagekit"
)

// startRegistry runs Debian's docker-registry on a free loopback port.
func startRegistry(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed: apt-get install docker-registry")
	}
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: '127.0.0.1:0'}\n", t.TempDir())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, binary, "serve", config)
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	var addr string
	eventually(t, "the registry listens", 20*time.Second, func() error {
		found := listening.FindStringSubmatch(p.output())
		if found == nil {
			return errors.New(p.output())
		}
		addr = found[1]
		return nil
	})
	return addr
}

// pushApp pushes an image with a shell and a file of its own, and returns its digest.
func pushApp(t *testing.T, reference string) string {
	t.Helper()
	files, err := imagekit.Busybox()
	if err != nil {
		t.Skip(err)
	}
	base, err := imagekit.Tar(files...)
	if err != nil {
		t.Fatal(err)
	}
	top, err := imagekit.Tar(imagekit.File{Name: "app/"}, imagekit.File{Name: "app/greeting", Content: "from the image\n", Mode: 0o644})
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{Cmd: []string{"/bin/cat", "/app/greeting"}, Env: []string{"PATH=/bin", "COLOUR=blue"}}, base, top)
	if err != nil {
		t.Fatal(err)
	}
	if err := imagekit.Push(reference, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestRunAnImageOfARegistry(t *testing.T) {
	needRoot(t)
	registry := startRegistry(t)
	repository := registry + "/team/app"
	digest := pushApp(t, repository+":1")
	wrong := "sha256:" + strings.Repeat("0", 64)
	d := startDev(t)
	for _, test := range []struct {
		name        string
		args        []string
		code        int
		out, errOut string
	}{
		{"its own command", []string{repository + ":1"}, 0, "from the image\n", ""},
		{"another command", []string{repository + ":1", "--", "sh", "-c", `cat /app/greeting; echo "$COLOUR"; exit 7`}, 7, "from the image\nblue\n", ""},
		{"by digest", []string{repository + "@" + digest, "--", "echo", "same"}, 0, "same\n", ""},
		{"unknown tag", []string{repository + ":2"}, 125, "", repository + ":2"},
		{"unknown repository", []string{registry + "/team/none:1"}, 125, "", registry + "/team/none:1"},
		{"wrong digest", []string{repository + "@" + wrong}, 125, "", wrong},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, errOut := d.agora(t, append([]string{"run"}, test.args...)...)
			if code != test.code || out != test.out || !strings.Contains(errOut, test.errOut) {
				t.Errorf("agora run %q: exit %d, out %q, err %q; want %d, %q, %q", test.args, code, out, errOut, test.code, test.out, test.errOut)
			}
			if code >= 125 && strings.Count(strings.TrimSpace(errOut), "\n") > 0 {
				t.Errorf("agora run %q: more than one line: %s", test.args, errOut)
			}
		})
	}
	code, out, errOut := agora(t, "image", "ls", "--store", filepath.Join(d.state, "images"))
	if code != 0 || !strings.Contains(out, repository+":1") || !strings.Contains(out, digest) || strings.Contains(out, wrong) {
		t.Errorf("agora image ls: exit %d, out %s, err %s", code, out, errOut)
	}
}
