// Package logins reads Docker's config.json: who we are to which registry.
//
// It promises that a login is given for its own registry only, and that no error holds a
// secret. It refuses to start the programs that such a file may name (credsStore,
// credHelpers).
package logins

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Login is what one registry is told. The zero value is anonymous.
type Login struct {
	Username string
	Password string
	// IdentityToken is exchanged for access tokens at the registry's token server.
	IdentityToken string
	// RegistryToken is a bearer token that the registry itself takes.
	RegistryToken string
}

// Logins are by registry (docker.io, host or host:port), or by registry and the first
// parts of a repository.
type Logins map[string]Login

// errForm is all that is said of a file that cannot be read: its text may be a secret.
var errForm = errors.New(`not Docker's config.json: {"auths":{"REGISTRY":{"auth":"BASE64 OF USER:PASSWORD"}}}`)

// Open reads an option: the JSON itself, or the path of the file that holds it.
func Open(option string) (Logins, error) {
	option = strings.TrimSpace(option)
	if option == "" || strings.HasPrefix(option, "{") {
		return Parse([]byte(option))
	}
	text, err := os.ReadFile(strings.TrimPrefix(option, "file://"))
	if err != nil {
		return nil, err
	}
	return Parse(text)
}

// entry is one registry of the file.
type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// Parse reads the member auths. Without one, the text may be of the older .dockercfg,
// which is what auths holds. Entries that say nothing are left out.
func Parse(text []byte) (Logins, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil, errForm
	}
	if auths, ok := members["auths"]; ok {
		members = nil
		if json.Unmarshal(auths, &members) != nil {
			return nil, errForm
		}
	} else {
		// Other members of a config.json without auths are settings of docker's.
		for name := range members {
			if !strings.ContainsAny(name, ".:/") {
				delete(members, name)
			}
		}
	}
	out := Logins{}
	for server, raw := range members {
		login, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("login of %s: %w", server, err)
		}
		if login != (Login{}) {
			out[key(server)] = login
		}
	}
	return out, nil
}

func decode(raw json.RawMessage) (Login, error) {
	var e entry
	if json.Unmarshal(raw, &e) != nil {
		return Login{}, errForm
	}
	out := Login{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(e.Auth, "="))
		user, password, ok := strings.Cut(string(plain), ":")
		if err != nil || !ok {
			return Login{}, errors.New("auth is not the base64 of USER:PASSWORD")
		}
		out.Username, out.Password = user, strings.TrimRight(password, "\x00")
	}
	// By this name docker marks a password that is an identity token.
	if out.Username == "<token>" && out.IdentityToken == "" {
		out = Login{IdentityToken: out.Password, RegistryToken: out.RegistryToken}
	}
	return out, nil
}

// key is the registry of an address, with the part of a repository that may follow.
func key(server string) string {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server = strings.TrimRight(server, "/")
	for _, api := range []string{"/v1", "/v2"} {
		server = strings.TrimSuffix(server, api)
	}
	host, rest, _ := strings.Cut(server, "/")
	host = strings.ToLower(host)
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		host = "docker.io"
	}
	if rest == "" {
		return host
	}
	return host + "/" + rest
}

// One is the login of a single registry.
func One(registry string, login Login) Logins {
	if login == (Login{}) {
		return nil
	}
	return Logins{key(registry): login}
}

// For gives the login for a repository of a registry, the one of the longest name that
// fits; the zero value when there is none.
func (l Logins) For(registry, repository string) Login {
	at := key(registry) + "/" + repository
	for {
		if login, ok := l[at]; ok {
			return login
		}
		end := strings.LastIndexByte(at, '/')
		if end < 0 {
			return Login{}
		}
		at = at[:end]
	}
}
