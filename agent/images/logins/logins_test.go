package logins

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestEachRegistryHasItsOwnLogin(t *testing.T) {
	l, err := Parse([]byte(`{"auths":{
		"https://index.docker.io/v1/":{"auth":"` + b64("hub:p:w") + `"},
		"reg.example:5000":{"username":"a","password":"b"},
		"https://deep.example/team/x":{"auth":"` + strings.TrimRight(b64("deep:pw"), "=") + `"},
		"deep.example":{"auth":"` + b64("flat:pw") + `"},
		"token.example":{"auth":"` + b64("<token>:identity") + `"},
		"identity.example":{"identitytoken":"i"}, "bearer.example":{"registrytoken":"r"},
		"empty.example":{}},"credsStore":"desktop","HttpHeaders":{"a":"b"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		registry, repository string
		want                 Login
	}{
		{"docker.io", "library/busybox", Login{Username: "hub", Password: "p:w"}},
		{"index.docker.io", "x/y", Login{Username: "hub", Password: "p:w"}},
		{"reg.example:5000", "x", Login{Username: "a", Password: "b"}},
		{"REG.example:5000", "x", Login{Username: "a", Password: "b"}},
		{"reg.example", "x", Login{}},
		{"evil.example", "reg.example:5000/x", Login{}},
		{"deep.example", "team/x/app", Login{Username: "deep", Password: "pw"}},
		{"deep.example", "team/xy", Login{Username: "flat", Password: "pw"}},
		{"token.example", "x", Login{IdentityToken: "identity"}},
		{"identity.example", "x", Login{IdentityToken: "i"}},
		{"bearer.example", "x", Login{RegistryToken: "r"}},
		{"empty.example", "x", Login{}},
	} {
		if got := l.For(c.registry, c.repository); got != c.want {
			t.Errorf("%s/%s: got %+v, want %+v", c.registry, c.repository, got, c.want)
		}
	}
	if _, ok := l["empty.example"]; ok {
		t.Error("an entry that says nothing is kept")
	}
}

func TestTheOldFileAndAFileWithoutLoginsAreRead(t *testing.T) {
	l, err := Parse([]byte(`{"https://reg.example":{"auth":"` + b64("u:p") + `","email":"e"}}`))
	if err != nil || l.For("reg.example", "x").Username != "u" {
		t.Errorf("got %v, %v", l, err)
	}
	if l, err := Parse([]byte(`{"credsStore":"desktop","detachKeys":"x"}`)); err != nil || len(l) != 0 {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestABadFileIsNamedWithoutItsSecrets(t *testing.T) {
	for _, bad := range []string{`{"auths":{"x":{"auth":"canary%"}}}`, `{"auths":{"x":{"auth":"` + b64("canary") + `"}}}`, `{canary`, `[]`,
		`{"auths":["canary"]}`, `{"auths":{"x":"canary"}}`, `{"auths":{"x":{"username":7}}}`} {
		_, err := Parse([]byte(bad))
		if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), b64("canary")) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

func TestAnOptionIsTheTextOrItsFile(t *testing.T) {
	text := `{"auths":{"r.example":{"username":"u","password":"p"}}}`
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{text, file, "file://" + file, " " + text + "\n"} {
		if l, err := Open(option); err != nil || l.For("r.example", "x").Username != "u" {
			t.Errorf("%s: %v, %v", option, l, err)
		}
	}
	if l, err := Open(""); l != nil || err != nil {
		t.Errorf("empty: %v, %v", l, err)
	}
	if _, err := Open("/no/such/file"); err == nil {
		t.Error("a missing file is accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"a/b":{"auth":"dTpw"}}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if l, err := Parse(data); err == nil {
			l.For("docker.io", "a/b")
		}
	})
}
