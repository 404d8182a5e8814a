package httpapi

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
)

// Tokens signs and checks the credentials of executors: JWT, HS256, with the claims fid,
// eid and cid of Mesos.
type Tokens struct{ key []byte }

// keySize is that of the signing key, in bytes.
const keySize = 32

// LoadTokens reads the key, and makes one at the first start.
func LoadTokens(path string) (*Tokens, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) >= keySize {
		return &Tokens{key: key}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of executor credentials: %w", err)
	}
	key = make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, key, 0o600); err != nil {
		return nil, fmt.Errorf("write the key of executor credentials: %w", err)
	}
	return &Tokens{key: key}, os.Rename(temporary, path)
}

// Sign makes the credential of one run of an executor.
func (t *Tokens) Sign(key core.ExecutorKey, container containerizer.ID) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"fid": string(key.Framework), "eid": string(key.Executor), "cid": string(container),
	})
	signed, err := token.SignedString(t.key)
	if err != nil {
		panic(err) // HS256 with a key of bytes cannot fail
	}
	return signed
}

// identity is who an executor's credential names.
type identity struct {
	key       core.ExecutorKey
	container containerizer.ID
}

func (t *Tokens) verify(header string) (identity, error) {
	scheme, raw, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return identity{}, errors.New("no bearer token")
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(strings.TrimSpace(raw), claims, func(*jwt.Token) (any, error) { return t.key, nil },
		jwt.WithValidMethods([]string{"HS256"}))
	if err != nil {
		return identity{}, err
	}
	text := func(name string) string { s, _ := claims[name].(string); return s }
	return identity{
		key:       core.ExecutorKey{Framework: core.FrameworkID(text("fid")), Executor: core.ExecutorID(text("eid"))},
		container: containerizer.ID(text("cid")),
	}, nil
}

// allowed checks an operator's basic credential.
func (s *Server) allowed(r *http.Request) bool {
	if len(s.Basic) == 0 || isRelayed(r) {
		return true
	}
	principal, secret, ok := r.BasicAuth()
	want, known := s.Basic[principal]
	return ok && subtle.ConstantTimeCompare([]byte(secret), []byte(want)) == 1 && known
}
