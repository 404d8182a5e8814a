// Package authtest holds what tests of authorization share: callers with grants, the ACLs that say the same,
// and realms that know them.
//
// It promises that a caller may do what its grants say and nothing else. It refuses to know any route.
package authtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
)

// Caller is one principal of an authorization matrix.
type Caller struct {
	Name          string
	Authorization string
	// Status is the answer wherever somebody is asked who they are; zero: they are believed.
	Status int
	// Grants are the objects of each action; "*" stands for all.
	Grants map[auth.Action][]string
	// Unknown callers send a secret that no realm has.
	Unknown bool
	// Root, if set, is the container whose executor this is: it has no grants.
	Root string
}

// Granted says whether the grants hold an answer of yes.
func (c *Caller) Granted(q auth.Question) bool {
	objects := c.Grants[q.Action]
	return slices.Contains(objects, "*") || q.Object != auth.Any && slices.Contains(objects, q.Object.Value())
}

// Expected is the answer to a caller in a realm that asks: 401, 403, or 0 for being let in.
func (c *Caller) Expected(asks []auth.Question) int {
	if c.Status != 0 {
		return c.Status
	}
	for _, q := range asks {
		if !c.Granted(q) {
			return http.StatusForbidden
		}
	}
	return 0
}

// Secret is that of every caller who authenticates by Basic.
const Secret = "canary-basic-5b1e"

// Key signs the tokens of Bearer.
var Key = []byte("canary-key-000000000000000000000000000000")

// Secrets are texts that no log may hold.
var Secrets = []string{Secret, string(Key), "eyJ", "Basic "}

// Basic is the Authorization of a caller with the right secret.
func Basic(name string) string { return httpauth.BasicHeader(name, Secret) }

// Bearer is the Authorization of a token with these claims.
func Bearer(t testing.TB, claims map[string]any) string {
	t.Helper()
	text, err := httpauth.Sign(Key, claims)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + text
}

// Hour is an hour from now, as claims have it.
func Hour() int64 { return time.Now().Add(time.Hour).Unix() }

// Strangers are four callers whom nobody believes.
func Strangers(t testing.TB) []*Caller {
	expired := Bearer(t, map[string]any{"sub": "admin", "exp": time.Now().Add(-time.Hour).Unix()})
	return []*Caller{
		{Name: "anonymous", Status: 401},
		{Name: "wrong secret", Unknown: true, Authorization: httpauth.BasicHeader("admin", "wrong"), Status: 401},
		{Name: "unknown", Unknown: true, Authorization: Basic("stranger"), Status: 401},
		{Name: "expired token", Authorization: expired, Status: 401},
	}
}

// Everything grants all.
func Everything() map[auth.Action][]string {
	all := map[auth.Action][]string{}
	for _, action := range auth.Actions() {
		all[action] = []string{"*"}
	}
	return all
}

// ACLs writes the grants as a document that allows nothing else.
func ACLs(t testing.TB, all []*Caller) *auth.ACLs {
	t.Helper()
	document := map[string]any{"permissive": false}
	for _, action := range auth.Actions() {
		var rules []any
		for _, c := range all {
			objects := any(map[string]any{"values": c.Grants[action]})
			switch {
			case len(c.Grants[action]) == 0:
				continue
			case slices.Contains(c.Grants[action], "*"):
				objects = map[string]any{"type": "ANY"}
			}
			rules = append(rules, map[string]any{"principals": map[string]any{"values": []string{c.Name}}, action.ObjectKey(): objects})
		}
		if rules != nil {
			document[action.Key()] = rules
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	acls, err := auth.ParseACLs(text)
	if err != nil {
		t.Fatal(err)
	}
	return acls
}

// Realms makes realms that know the callers, and those whom more believes.
func Realms(t testing.TB, all []*Caller, more ...httpauth.Authenticator) func(name string) *httpauth.Realm {
	t.Helper()
	bearer, err := httpauth.NewBearer(httpauth.BearerConfig{Keys: [][]byte{Key}})
	if err != nil {
		t.Fatal(err)
	}
	credentials := httpauth.Credentials{}
	for _, c := range all {
		if strings.HasPrefix(c.Authorization, "Basic ") && !c.Unknown {
			credentials[c.Name] = Secret
		}
	}
	return func(name string) *httpauth.Realm {
		return httpauth.NewRealm(name, append([]httpauth.Authenticator{httpauth.NewBasic(credentials), bearer}, more...)...)
	}
}

// Asks are the questions of an action about these objects, or about all.
func Asks(action auth.Action, objects ...string) []auth.Question {
	if len(objects) == 0 {
		return []auth.Question{{Action: action, Object: auth.Any}}
	}
	var all []auth.Question
	for _, object := range objects {
		all = append(all, auth.Question{Action: action, Object: auth.Of(object)})
	}
	return all
}
