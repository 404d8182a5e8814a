package httpauth

import (
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"agora.dev/agora/auth"
)

// Certificate believes the client certificate of a connection, which the listener has verified.
type Certificate struct{}

// PrincipalURI begins the URI in a certificate that names a principal of ours: agora:principal/NAME.
const PrincipalURI = "agora:principal/"

// Authenticate looks at the connection.
func (Certificate) Authenticate(r *http.Request) (*auth.Principal, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, ErrNoCredential
	}
	name := IdentityOf(r.TLS.VerifiedChains[0][0])
	if name == "" {
		return nil, errors.New("certificate: it names nobody: no URI, DNS name or e-mail address as subject alternative name")
	}
	return &auth.Principal{Value: name}, nil
}

// Challenge is nothing: the certificate comes with the handshake.
func (Certificate) Challenge(string) string { return "" }

// IdentityOf is the principal that a certificate names by its subject alternative names: the
// first URI, else the first DNS name, else the first e-mail address. The common name does not count.
func IdentityOf(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return strings.TrimPrefix(c.URIs[0].String(), PrincipalURI)
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	}
	return ""
}
