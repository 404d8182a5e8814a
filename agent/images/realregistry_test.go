package images

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"

	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/internal/testkit/imagekit"
)

// startRegistry runs Debian's docker-registry on a free loopback port, with more lines of
// configuration.
func startRegistry(t *testing.T, more ...string) string {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("docker-registry is not installed: apt-get install docker-registry")
	}
	config := filepath.Join(t.TempDir(), "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: '127.0.0.1:0'}\n", t.TempDir())
	if err := os.WriteFile(config, []byte(text+strings.Join(more, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "serve", config)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	scanner := bufio.NewScanner(stderr)
	var said []string
	for scanner.Scan() {
		said = append(said, scanner.Text())
		if m := listening.FindStringSubmatch(scanner.Text()); m != nil {
			go func() {
				for scanner.Scan() {
				}
			}()
			return m[1]
		}
	}
	t.Fatalf("docker-registry did not say where it listens: %s", strings.Join(said, "\n"))
	return ""
}

func TestARealRegistryWithHtpasswdTakesALoginOfConfigJSON(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("s3cret:x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, fmt.Appendf(nil, "joe:%s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := startRegistry(t, fmt.Sprintf("auth: {htpasswd: {realm: r, path: %q}}", file))
	ref := registry + "/team/app:1"
	if err := imagekit.Push(ref, testImage(t), remote.WithAuth(&authn.Basic{Username: "joe", Password: "s3cret:x"})); err != nil {
		t.Fatal(err)
	}
	given, err := logins.Parse(fmt.Appendf(nil, `{"auths":{"http://%s/v1/":{"auth":%q}}}`, registry, base64.StdEncoding.EncodeToString([]byte("joe:s3cret:x"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(t, Config{}).Pull(t.Context(), ref, given, nil); err != nil {
		t.Error(err)
	}
	if _, err := newStore(t, Config{Logins: given}).Pull(t.Context(), ref, nil, nil); err != nil {
		t.Errorf("with the agent's login: %v", err)
	}
	for name, wrong := range map[string]logins.Logins{"nobody": nil, "a wrong password": as(ref, "joe", "canary")} {
		_, err := newStore(t, Config{}).Pull(t.Context(), ref, wrong, nil)
		if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// tokenServer gives tokens that a real registry trusts: to joe by password, and for his
// identity token.
type tokenServer struct {
	url, bundle     string
	basic, identity atomic.Int32
}

func startTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tokens"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := &tokenServer{bundle: filepath.Join(t.TempDir(), "bundle.pem")}
	if err := os.WriteFile(s.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.Method == http.MethodPost && r.FormValue("refresh_token") == "identity":
			s.identity.Add(1)
		case r.Method == http.MethodGet && user == "joe" && password == "secret":
			s.basic.Add(1)
		default:
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token := signed(key, certificate, r.FormValue("scope"))
		fmt.Fprintf(w, `{"token":%q,"access_token":%q}`, token, token)
	}))
	t.Cleanup(server.Close)
	s.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return s
}

// signed is a JWT of a token server of the distribution's specification.
func signed(key *ecdsa.PrivateKey, certificate []byte, scope string) string {
	access := []map[string]any{}
	if parts := strings.Split(scope, ":"); len(parts) == 3 {
		access = append(access, map[string]any{"type": parts[0], "name": parts[1], "actions": strings.Split(parts[2], ",")})
	}
	now := time.Now().Unix()
	header, _ := json.Marshal(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(certificate)}})
	claims, _ := json.Marshal(map[string]any{"iss": "tokens", "aud": "registry", "sub": "joe", "jti": "1", "iat": now, "nbf": now - 10, "exp": now + 300, "access": access})
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(es256(key, text))
}

func TestARealRegistryWithATokenServerTakesPasswordsAndIdentityTokens(t *testing.T) {
	tokens := startTokenServer(t)
	registry := startRegistry(t, fmt.Sprintf("auth: {token: {realm: %q, service: registry, issuer: tokens, rootcertbundle: %q}}", tokens.url+"/token", tokens.bundle))
	ref := registry + "/team/app:1"
	if err := imagekit.Push(ref, testImage(t), remote.WithAuth(&authn.Basic{Username: "joe", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	tokens.basic.Store(0)
	if _, err := newStore(t, Config{}).Pull(t.Context(), ref, as(ref, "joe", "secret"), nil); err != nil || tokens.basic.Load() == 0 {
		t.Errorf("password: %v", err)
	}
	for entry, good := range map[string]bool{`{"identitytoken":"identity"}`: true, `{"identitytoken":"canary"}`: false,
		fmt.Sprintf(`{"auth":%q}`, base64.StdEncoding.EncodeToString([]byte("<token>:identity"))): true} {
		given, err := logins.Parse(fmt.Appendf(nil, `{"auths":{%q:%s}}`, registry, entry))
		if err != nil {
			t.Fatal(err)
		}
		tokens.identity.Store(0)
		_, err = newStore(t, Config{}).Pull(t.Context(), ref, given, nil)
		if good && (err != nil || tokens.identity.Load() == 0) || !good && (!errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

func TestAnIdentityTokenIsNotSentToAForeignTokenServer(t *testing.T) {
	ref := tokenRegistry(t, "https://tokens.example.com") + "/team/app:1"
	registry, _, _ := strings.Cut(ref, "/")
	_, err := newStore(t, Config{}).Pull(t.Context(), ref, logins.One(registry, logins.Login{IdentityToken: "canary"}), nil)
	if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// es256 signs as JWS wants it.
func es256(key *ecdsa.PrivateKey, text string) []byte {
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}
