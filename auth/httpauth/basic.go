package httpauth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"

	"agora.dev/agora/auth"
)

// Basic knows principals by their secrets.
type Basic struct {
	digests map[string][sha256.Size]byte
	// nobody is compared with for principals that are not known, so that both take as long.
	nobody [sha256.Size]byte
}

// NewBasic makes an authenticator of a credentials file's contents.
func NewBasic(credentials Credentials) *Basic {
	b := &Basic{digests: make(map[string][sha256.Size]byte, len(credentials))}
	for principal, secret := range credentials {
		b.digests[principal] = sha256.Sum256([]byte(secret))
	}
	_, _ = rand.Read(b.nobody[:]) // crypto/rand never fails
	return b
}

var errWrongSecret = errors.New("basic: unknown principal or wrong secret")

// Authenticate looks at "Authorization: Basic".
func (b *Basic) Authenticate(r *http.Request) (*auth.Principal, error) {
	principal, secret, ok := r.BasicAuth()
	if !ok {
		return nil, ErrNoCredential
	}
	want, known := b.digests[principal]
	if !known {
		want = b.nobody
	}
	got := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || !known {
		return nil, errWrongSecret
	}
	return &auth.Principal{Value: principal}, nil
}

// Challenge names the realm.
func (b *Basic) Challenge(realm string) string { return "Basic realm=" + strconv.Quote(realm) }

// BasicHeader is the Authorization of a principal.
func BasicHeader(principal, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(principal+":"+secret))
}
