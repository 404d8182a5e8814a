package httpauth

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/auth"
	"github.com/golang-jwt/jwt/v5"
)

// minKey is the size that a signing key has at least, in bytes.
const minKey = 32

// leeway is how far clocks may differ.
const leeway = 60 * time.Second

// Bearer believes JSON web tokens that are signed with one of its keys by HS256. "sub" names the
// principal; a token without one gives a principal with claims only.
type Bearer struct {
	keys   []jwt.VerificationKey
	parser *jwt.Parser
}

// BearerConfig says which tokens are believed.
type BearerConfig struct {
	// Keys are tried in order: the first signs, older ones stay until their tokens have expired.
	Keys [][]byte
	// Issuer and Audience, when set, must be those of the token.
	Issuer, Audience string
	// AnyAge accepts tokens without "exp": those that agents give to executors.
	AnyAge bool
	Now    func() time.Time
}

// NewBearer makes an authenticator.
func NewBearer(config BearerConfig) (*Bearer, error) {
	b := &Bearer{}
	if len(config.Keys) == 0 {
		return nil, errors.New("no key to check tokens with")
	}
	for _, key := range config.Keys {
		if len(key) < minKey {
			return nil, fmt.Errorf("the key for tokens has %d bytes, at least %d are needed", len(key), minKey)
		}
		b.keys = append(b.keys, key)
	}
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{"HS256"}), jwt.WithLeeway(leeway), jwt.WithStrictDecoding()}
	if !config.AnyAge {
		options = append(options, jwt.WithExpirationRequired())
	}
	if config.Issuer != "" {
		options = append(options, jwt.WithIssuer(config.Issuer))
	}
	if config.Audience != "" {
		options = append(options, jwt.WithAudience(config.Audience))
	}
	if config.Now != nil {
		options = append(options, jwt.WithTimeFunc(config.Now))
	}
	b.parser = jwt.NewParser(options...)
	return b, nil
}

// ReadKey reads a signing key; white space at its end does not count.
func ReadKey(path string) ([]byte, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return bytes.TrimRight(text, " \r\n"), nil
}

// maxToken bounds a token, in bytes.
const maxToken = 16 << 10

// Authenticate looks at "Authorization: Bearer".
func (b *Bearer) Authenticate(r *http.Request) (*auth.Principal, error) {
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, ErrNoCredential
	}
	return b.Verify(strings.TrimSpace(raw))
}

// Verify gives the principal of a token.
func (b *Bearer) Verify(token string) (*auth.Principal, error) {
	if len(token) > maxToken {
		return nil, errors.New("bearer: the token is too long")
	}
	claims := jwt.MapClaims{}
	_, err := b.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
		return jwt.VerificationKeySet{Keys: b.keys}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", reason(err))
	}
	p := &auth.Principal{Claims: map[string]string{}}
	for name, value := range claims {
		if text, ok := value.(string); ok {
			p.Claims[name] = text
		}
	}
	p.Value = p.Claims["sub"]
	return p, nil
}

// reason is the class of a refusal: the library's texts may hold parts of the token.
func reason(err error) error {
	for _, class := range []error{jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidIssuer,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenRequiredClaimMissing, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenMalformed} {
		if errors.Is(err, class) {
			return class
		}
	}
	return errors.New("token is not valid")
}

// Challenge names the realm.
func (b *Bearer) Challenge(realm string) string { return "Bearer realm=" + strconv.Quote(realm) }

// Sign makes a token for a principal with HS256.
func Sign(key []byte, claims map[string]any) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims)).SignedString(key)
}
