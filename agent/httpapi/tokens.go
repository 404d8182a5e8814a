package httpapi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/auth/httpauth"
)

// Tokens signs and checks the credentials of executors: JWT, HS256, with the claims fid,
// eid and cid of Mesos.
type Tokens struct {
	key []byte
	*httpauth.Bearer
}

// keySize is that of the signing key, in bytes.
const keySize = 32

// LoadTokens reads the key, and makes one at the first start.
func LoadTokens(path string) (*Tokens, error) {
	key, err := loadKey(path)
	if err != nil {
		return nil, err
	}
	// An executor lives as long as it has to: its credential has no end.
	bearer, err := httpauth.NewBearer(httpauth.BearerConfig{Keys: [][]byte{key}, AnyAge: true})
	if err != nil {
		return nil, fmt.Errorf("the key of executor credentials: %w", err)
	}
	return &Tokens{key, bearer}, nil
}

func loadKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) >= keySize {
		return key, nil
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
	return key, os.Rename(temporary, path)
}

// Names of claims. Mesos docs/authentication.md; auth knows cid.
const (
	claimFramework = "fid"
	claimExecutor  = "eid"
	claimContainer = "cid"
)

// Sign makes the credential of one run of an executor.
func (t *Tokens) Sign(key core.ExecutorKey, container containerizer.ID) string {
	signed, err := httpauth.Sign(t.key, map[string]any{
		claimFramework: string(key.Framework), claimExecutor: string(key.Executor), claimContainer: string(container),
	})
	if err != nil {
		panic(err) // HS256 with a key of bytes cannot fail
	}
	return signed
}

// ForOperators are executors' credentials where operators authenticate, too: an executor calls its own
// agent about its containers. What is asked of a stranger names the operators' means only.
func (t *Tokens) ForOperators() httpauth.Authenticator { return unnamed{t.Bearer} }

type unnamed struct{ *httpauth.Bearer }

// Challenge implements httpauth.Authenticator.
func (unnamed) Challenge(string) string { return "" }
