package httpauth

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/auth"
	"github.com/golang-jwt/jwt/v5"
)

func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentialsInBothForms(t *testing.T) {
	for _, text := range []string{
		`{"credentials":[{"principal":"sherman","secret":"kite surf"},{"principal":"ops","secret":"x"}]}`,
		"ops x\n\n  sherman\tkite-surf \n",
	} {
		got, err := ReadCredentials(file(t, text, 0o600))
		if err != nil || len(got) != 2 || got["ops"] != "x" || !strings.HasPrefix(got["sherman"], "kite") {
			t.Errorf("%s: got %d, %v", text, len(got), err)
		}
	}
	for _, text := range []string{`{"principal":"ops","secret":"x"}`, "ops x", `{"credentials":[{"principal":"ops","secret":"x"}]}`} {
		if p, s, err := ReadCredential(file(t, text, 0o400)); err != nil || p != "ops" || s != "x" {
			t.Errorf("%s: got %q, %v", text, p, err)
		}
	}
}

func TestBadCredentialFilesSayWhatAndNeverTheSecret(t *testing.T) {
	const secret = "canary-7f3a"
	for _, c := range []struct {
		text, want string
		mode       os.FileMode
	}{
		{"ops " + secret, "chmod 600", 0o644},
		{"ops " + secret, "chmod 600", 0o640},
		{"ops " + secret + " more", "line 1: a principal and a secret", 0o600},
		{"ops " + secret + "\nops " + secret, "line 2: principal \"ops\" stands there twice", 0o600},
		{`{"credentials":[{"principal":"","secret":"` + secret + `"}]}`, "credentials[0]: the principal is empty", 0o600},
		{`{"credentials":[{"principal":"a:b","secret":"` + secret + `"}]}`, "a colon", 0o600},
		{`{"credentials":[{"principal":"a","secret":""}]}`, "the secret is empty", 0o600},
		{`{"credentials":["` + secret + `"]}`, "not {", 0o600},
		{`{"credential":[{"` + secret + `":1}]}`, "not {", 0o600},
	} {
		_, err := ReadCredentials(file(t, c.text, c.mode))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := ReadCredentials(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
	if _, _, err := ReadCredential(file(t, "a b\nc d", 0o600)); err == nil {
		t.Error("two credentials are one")
	}
}

func request(authorization string) *http.Request {
	r := httptest.NewRequest("GET", "/state", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func TestBasicBelievesTheRightSecretOnly(t *testing.T) {
	realm := NewRealm(MasterReadonly, NewBasic(Credentials{"ops": "secret"}))
	for _, c := range []struct {
		header, want string
	}{
		{BasicHeader("ops", "secret"), "ops"},
		{"basic " + base64.StdEncoding.EncodeToString([]byte("ops:secret")), "ops"},
		{BasicHeader("ops", "Secret"), ""},
		{BasicHeader("ops", ""), ""},
		{BasicHeader("op", "secret"), ""},
		{BasicHeader("", ""), ""},
		{"Basic !", ""},
		{"Bearer x", ""},
		{"", ""},
	} {
		p, refusal := realm.Authenticate(request(c.header))
		if p.Name() != c.want || (refusal == nil) != (c.want != "") {
			t.Errorf("%q: got %v, %+v", c.header, p, refusal)
		}
		if refusal != nil && (refusal.Status != 401 || refusal.Challenge != `Basic realm="mesos-master-readonly"`) {
			t.Errorf("%q: refusal %+v", c.header, refusal)
		}
	}
}

func TestARealmThatAsksForNothingIgnoresCredentials(t *testing.T) {
	var realm *Realm
	if p, refusal := realm.Authenticate(request(BasicHeader("ops", "wrong"))); p != nil || refusal != nil {
		t.Errorf("got %v, %v", p, refusal)
	}
}

var key = []byte("0123456789abcdef0123456789abcdef")

func sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	token, err := Sign(key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestBearerBelievesFreshTokensOfItsKeysOnly(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	b, err := NewBearer(BearerConfig{Keys: [][]byte{[]byte("the newer key: 0123456789abcdef0123456789"), key},
		Issuer: "agora", Audience: "masters", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	good := func(changes map[string]any) map[string]any {
		claims := map[string]any{"sub": "ops", "iss": "agora", "aud": "masters", "exp": at(time.Hour)}
		for name, value := range changes {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		return claims
	}
	other, _ := Sign([]byte("another key 0123456789abcdef0123456789"), good(nil))
	none, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims(good(nil))).SignedString(jwt.UnsafeAllowNoneSignatureType)
	hs512, _ := jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.MapClaims(good(nil))).SignedString(key)
	for name, c := range map[string]struct{ token, want string }{
		"good":              {sign(t, good(nil)), ""},
		"within leeway":     {sign(t, good(map[string]any{"exp": at(-30 * time.Second)})), ""},
		"list of audiences": {sign(t, good(map[string]any{"aud": []string{"x", "masters"}})), ""},
		"expired":           {sign(t, good(map[string]any{"exp": at(-2 * time.Minute)})), "expired"},
		"no end":            {sign(t, good(map[string]any{"exp": nil})), "claim"},
		"not yet":           {sign(t, good(map[string]any{"nbf": at(2 * time.Minute)})), "not valid yet"},
		"other issuer":      {sign(t, good(map[string]any{"iss": "x"})), "issuer"},
		"other audience":    {sign(t, good(map[string]any{"aud": "agents"})), "audience"},
		"no audience":       {sign(t, good(map[string]any{"aud": nil})), "audience"},
		"other key":         {other, "signature"},
		"no algorithm":      {none, "signature"},
		"other algorithm":   {hs512, "signature"},
		"cut":               {sign(t, good(nil))[:40], "malformed"},
		"changed":           {sign(t, good(nil))[:60] + "A" + sign(t, good(nil))[61:], "bearer:"},
		"long":              {strings.Repeat("x", maxToken+1), "too long"},
	} {
		p, err := b.Authenticate(request("Bearer " + c.token))
		switch {
		case c.want == "" && (err != nil || p.Value != "ops"):
			t.Errorf("%s: got %v, %v", name, p, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error()+" audience claim", c.want) || strings.Contains(err.Error(), c.token)):
			t.Errorf("%s: got %v, %v, want %q", name, p, err, c.want)
		}
	}
	p, err := b.Verify(sign(t, good(map[string]any{"sub": nil, "cid": "c1"})))
	if err != nil || p.Value != "" || p.Claims["cid"] != "c1" {
		t.Errorf("token without a name: %v, %v", p, err)
	}
	if _, err := NewBearer(BearerConfig{Keys: [][]byte{key[:31]}}); err == nil {
		t.Error("a short key is taken")
	}
}

func TestCertificatesNameTheirBearerBySAN(t *testing.T) {
	uri := func(text string) []*url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return []*url.URL{u}
	}
	for _, c := range []struct {
		certificate x509.Certificate
		want        string
	}{
		{x509.Certificate{URIs: uri("agora:principal/agents"), DNSNames: []string{"host"}}, "agents"},
		{x509.Certificate{URIs: uri("spiffe://site/ns/ops")}, "spiffe://site/ns/ops"},
		{x509.Certificate{DNSNames: []string{"agent1.example"}}, "agent1.example"},
		{x509.Certificate{EmailAddresses: []string{"a@example"}}, "a@example"},
		{x509.Certificate{}, ""},
	} {
		c.certificate.Subject.CommonName = "root"
		r := request("")
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&c.certificate},
			VerifiedChains: [][]*x509.Certificate{{&c.certificate}}}
		p, err := Certificate{}.Authenticate(r)
		if p.Name() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("got %v, %v, want %q", p, err, c.want)
		}
	}
	r := request("")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{DNSNames: []string{"x"}}}}
	if _, err := (Certificate{}).Authenticate(r); err != ErrNoCredential {
		t.Errorf("a certificate that was not verified: %v", err)
	}
}

func TestSeveralAuthenticatorsAreAskedInOrder(t *testing.T) {
	bearer, err := NewBearer(BearerConfig{Keys: [][]byte{key}})
	if err != nil {
		t.Fatal(err)
	}
	realm := NewRealm(AgentReadwrite, NewBasic(Credentials{"ops": "secret"}), bearer, Certificate{})
	token := sign(t, map[string]any{"sub": "web", "exp": time.Now().Add(time.Hour).Unix()})
	for header, want := range map[string]string{BasicHeader("ops", "secret"): "ops", "Bearer " + token: "web", "Bearer x": ""} {
		p, refusal := realm.Authenticate(request(header))
		if p.Name() != want {
			t.Errorf("%s: got %v, %+v", header, p, refusal)
		}
		if refusal != nil && refusal.Challenge != `Basic realm="mesos-agent-readwrite", Bearer realm="mesos-agent-readwrite"` {
			t.Errorf("challenge %q", refusal.Challenge)
		}
	}
}

func TestWhoGuessesIsSlowedDownAndOthersAreNot(t *testing.T) {
	now := time.Unix(0, 0)
	realm := NewRealm(MasterReadwrite, NewBasic(Credentials{"ops": "secret", "web": "other"}))
	realm.lockout = newLockout(func() time.Time { return now })
	try := func(principal, secret, from string) int {
		r := request(BasicHeader(principal, secret))
		r.RemoteAddr = from + ":1234"
		if _, refusal := realm.Authenticate(r); refusal != nil {
			return refusal.Status
		}
		return 200
	}
	for i := range burst {
		if got := try("ops", "guess", "10.0.0.9"); got != 401 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	for _, c := range []struct {
		principal, secret, from string
		want                    int
	}{
		{"ops", "guess", "10.0.0.9", 429},
		{"ops", "secret", "10.0.0.9", 429}, // the guesser does not learn that it is right
		{"ops", "secret", "10.0.0.8", 200},
		{"web", "other", "10.0.0.9", 200},
	} {
		if got := try(c.principal, c.secret, c.from); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	now = now.Add(recovery)
	if got := try("ops", "secret", "10.0.0.9"); got != 200 {
		t.Errorf("after a while: %d", got)
	}
	for i := range maxSources + 10 {
		realm.lockout.failed(source{principal: string(rune(i))})
	}
	if n := len(realm.lockout.free); n > maxSources {
		t.Errorf("%d sources are kept", n)
	}
}

func TestPrincipalTravelsWithItsRequest(t *testing.T) {
	r := request("")
	if PrincipalOf(r) != nil || WithPrincipal(r, nil) != r {
		t.Error("nobody is somebody")
	}
	if got := PrincipalOf(WithPrincipal(r, auth.Named("ops"))).Name(); got != "ops" {
		t.Errorf("got %q", got)
	}
}
