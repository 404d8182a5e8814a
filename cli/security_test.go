package cli

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsComeFromOptionsThenTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		given security
		env   map[string]string
		want  string
	}{
		{security{}, nil, ""},
		{security{principal: "ops", secret: "x"}, map[string]string{"AGORA_PRINCIPAL": "other"}, "Basic b3BzOng="},
		{security{}, map[string]string{"AGORA_PRINCIPAL": "ops", "AGORA_SECRET": "x"}, "Basic b3BzOng="},
		{security{token: "file://" + path}, nil, "Bearer abc"},
	} {
		if err := c.given.complete(func(name string) string { return c.env[name] }); err != nil || c.given.authorization() != c.want {
			t.Errorf("%v: got %q, %v", c.env, c.given.authorization(), err)
		}
	}
	for _, c := range []struct {
		given security
		want  string
	}{
		{security{principal: "ops"}, "belong together"},
		{security{cert: "/c"}, "--tls-cert and --tls-key belong together"},
		{security{ca: "/nowhere"}, "/nowhere"},
	} {
		if err := c.given.complete(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestCredentialIsNotSentInPlainTextOnceTLSIsWanted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request came, with %q", r.Header.Get("Authorization"))
	}))
	defer server.Close()
	s := security{token: "abc", tls: true}
	if err := s.complete(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Get(server.URL); !errors.Is(err, errPlain) {
		t.Errorf("got %v", err)
	}
}
