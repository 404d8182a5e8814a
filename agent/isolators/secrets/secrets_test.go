package secrets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/secrets"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(netkit.Main(m)) }

func reference(name string, key ...string) *mesos.Secret {
	kind := mesos.Secret_REFERENCE
	out := &mesos.Secret{Type: &kind, Reference: &mesos.Secret_Reference{Name: &name}}
	if len(key) > 0 {
		out.Reference.Key = &key[0]
	}
	return out
}

func TestReferencesAreFilesOfTheDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("store/plain", "one", 0o600)
	write("store/db/password", "two", 0o400)
	write("store/open", "canary", 0o644)
	write("store/large", strings.Repeat("x", secrets.MaxSize+1), 0o600)
	write("outside", "canary", 0o600)
	if err := os.Symlink("../outside", filepath.Join(dir, "store/link")); err != nil {
		t.Fatal(err)
	}
	f := secrets.Files{Dir: filepath.Join(dir, "store")}
	for want, s := range map[string]*mesos.Secret{"one": reference("plain"), "two": reference("db", "password")} {
		if got, err := f.Resolve(t.Context(), s); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	value, unknown := mesos.Secret_VALUE, mesos.Secret_UNKNOWN
	if got, err := f.Resolve(t.Context(), &mesos.Secret{Type: &value, Value: &mesos.Secret_Value{Data: []byte("three")}}); err != nil || string(got) != "three" {
		t.Errorf("got %q, %v", got, err)
	}
	for want, s := range map[string]*mesos.Secret{
		"can be read by others (mode 0644); chmod it to 0600": reference("open"), "larger than": reference("large"), "not a file": reference("db"),
		"path escapes": reference("link"), `"../outside"`: reference("../outside"), `"."`: reference("."), `key ""`: reference("db", ""),
		`key "../plain"`: reference("db", "../plain"), "no such file": reference("none"), "must be VALUE or REFERENCE": {Type: &unknown},
		"without a value": {Type: &value},
	} {
		_, err := f.Resolve(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", s, err, want)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error says the secret: %v", err)
		}
	}
	if _, err := (secrets.Files{}).Resolve(t.Context(), reference("plain")); err == nil || !strings.Contains(err.Error(), "--secrets_dir") {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreInMemoryAndGoWithTheirContainer(t *testing.T) {
	netkit.Need(t)
	dir := filepath.Join(t.TempDir(), "secrets")
	s, err := secrets.NewStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.Put("c1", 0, []byte("hush"), 1234, 55)
	if err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(file, &fs); err != nil || uint64(fs.Type) != unix.RAMFS_MAGIC {
		t.Errorf("file system %x, %v; want ramfs", fs.Type, err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(file, &stat); err != nil || stat.Mode&0o777 != 0o400 || stat.Uid != 1234 || stat.Gid != 55 {
		t.Errorf("mode %o, owner %d:%d, %v", stat.Mode, stat.Uid, stat.Gid, err)
	}
	if _, err := s.Put("c2", 0, []byte("hush"), 0, 0); err != nil {
		t.Fatal(err)
	}
	mounts := func() int {
		b, _ := os.ReadFile("/proc/self/mountinfo")
		return strings.Count(string(b), dir)
	}
	for i, id := range []string{"c1", "c2"} {
		if err := s.Drop(id); err != nil {
			t.Error(err)
		}
		if got, want := mounts(), 1-i; got != want {
			t.Errorf("after %s: %d mounts, want %d", id, got, want)
		}
	}
	// An agent that died left one.
	if _, err := s.Put("c3", 0, []byte("hush"), 0, 0); err != nil {
		t.Fatal(err)
	}
	next, err := secrets.NewStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Clear(); err != nil || mounts() != 0 {
		t.Errorf("%v, %d mounts", err, mounts())
	}
}
