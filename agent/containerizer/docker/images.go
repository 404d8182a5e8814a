package docker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// Logins are what registries are told, by their hosts.
type Logins map[string]registry.AuthConfig

// dockerHub has an old name in the files of docker.
const dockerHub = "https://index.docker.io/v1/"

// ParseLogins reads Docker's config.json: its member auths. Mesos flag --docker_config: the JSON, or
// the file that holds it. Programs that keep secrets (credsStore) are not asked.
func ParseLogins(option string) (Logins, error) {
	option = strings.TrimSpace(option)
	if option == "" {
		return nil, nil
	}
	text := []byte(option)
	if !strings.HasPrefix(option, "{") {
		var err error
		if text, err = os.ReadFile(strings.TrimPrefix(option, "file://")); err != nil {
			return nil, err
		}
	}
	var file struct {
		Auths map[string]registry.AuthConfig
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&file); err != nil {
		return nil, errors.New(`not Docker's config.json: {"auths":{"REGISTRY":{"auth":"..."}}}`) // the text may hold a secret
	}
	out := Logins{}
	for server, login := range file.Auths {
		if login.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(login.Auth)
			user, password, ok := strings.Cut(string(plain), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("auths of %s: auth is not the base64 of user:password", server)
			}
			login.Username, login.Password, login.Auth = user, strings.TrimRight(password, "\x00"), ""
		}
		login.ServerAddress = server
		out[host(server)] = login
	}
	return out, nil
}

// host is the registry's own part of an address.
func host(server string) string {
	if server == dockerHub {
		return "docker.io"
	}
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server, _, _ = strings.Cut(server, "/")
	return server
}

// header is what the Engine is told for an image; empty without a login.
func (l Logins) header(image reference.Named) (string, error) {
	login, ok := l[reference.Domain(image)]
	if !ok {
		return "", nil
	}
	return authconfig.Encode(login)
}

// provide has the Engine pull an image that it does not have, or that has to be fresh.
func (c *Containerizer) provide(ctx context.Context, image string, force bool) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	if !force {
		_, err := c.engine.ImageInspect(ctx, image)
		if err == nil || !errdefs.IsNotFound(err) {
			return err
		}
	}
	login, err := c.config.Logins.header(named)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	pull, err := c.engine.ImagePull(ctx, reference.TagNameOnly(named).String(), client.ImagePullOptions{RegistryAuth: login})
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	if err := pull.Wait(ctx); err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return nil
}
