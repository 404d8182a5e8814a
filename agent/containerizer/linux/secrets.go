package linux

import (
	"context"
	"errors"
	"fmt"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// Resolver gives the content of a secret.
type Resolver interface {
	Resolve(ctx context.Context, secret *mesos.Secret) ([]byte, error)
}

var errNoSecrets = errors.New("this agent resolves no secrets")

func (c *Containerizer) resolve(ctx context.Context, secret *mesos.Secret) ([]byte, error) {
	if c.config.Secrets == nil {
		return nil, errNoSecrets
	}
	return c.config.Secrets.Resolve(ctx, secret)
}

// withSecrets is the command with the secrets of its environment in place. It stays in
// memory: the launchers write no environment down.
func (c *Containerizer) withSecrets(ctx context.Context, spec containerizer.Spec) (containerizer.Spec, error) {
	cloned := false
	for i, v := range spec.Command.GetEnvironment().GetVariables() {
		if v.GetType() != mesos.Environment_Variable_SECRET {
			continue
		}
		content, err := c.resolve(ctx, v.GetSecret())
		if err != nil {
			return spec, fmt.Errorf("environment variable %s: %w", v.GetName(), err)
		}
		if !cloned {
			spec.Command, cloned = proto.CloneOf(spec.Command), true
		}
		value := string(content)
		spec.Command.Environment.Variables[i] = &mesos.Environment_Variable{Name: v.Name, Value: &value}
	}
	return spec, nil
}

// dropSecrets removes files that the container, if it has started, has by now.
func (c *Containerizer) dropSecrets(id containerizer.ID) {
	if err := c.secrets.Drop(string(id)); err != nil {
		c.log.Error("files of secrets not removed", "container", id, "error", err)
	}
}
