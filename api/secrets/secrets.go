// Package secrets knows where the messages of a task can hold the content of a secret, and leaves it out of
// what is written down or shown.
//
// It promises that a message without secrets is given back as it is, and that one with secrets is not changed but copied.
// It refuses to know how secrets are resolved.
package secrets

import (
	"agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// WithoutTask is a task without the content of its secrets.
func WithoutTask(info *mesos.TaskInfo) *mesos.TaskInfo { return without(info, taskSecrets) }

// WithoutExecutor is an executor without the content of its secrets.
func WithoutExecutor(info *mesos.ExecutorInfo) *mesos.ExecutorInfo {
	return without(info, executorSecrets)
}

// WithoutContainer is a container without the content of its secrets.
func WithoutContainer(info *mesos.ContainerInfo) *mesos.ContainerInfo {
	return without(info, containerSecrets)
}

// WithoutHealthCheck is a health check without the content of its secrets.
func WithoutHealthCheck(check *mesos.HealthCheck) *mesos.HealthCheck {
	return without(check, healthCheckSecrets)
}

func without[T proto.Message](m T, each func(T, func(content) bool) bool) T {
	if !each(m, has) {
		return m
	}
	m = proto.CloneOf(m)
	each(m, empty)
	return m
}

// content is the content of one secret: it tells whether there is any, and clears it when told to.
type content func(clear bool) bool

// has and empty are what is done with each secret; true ends the search.
func has(c content) bool { return c(false) }

func empty(c content) bool {
	c(true)
	return false
}

func secret(s *mesos.Secret) content {
	return func(clear bool) bool {
		found := len(s.GetValue().GetData()) > 0
		if found && clear {
			s.Value.Data = []byte{}
		}
		return found
	}
}

func password(c *mesos.Credential) content {
	return func(clear bool) bool {
		found := c.GetSecret() != ""
		if found && clear {
			c.Secret = nil
		}
		return found
	}
}

func taskSecrets(info *mesos.TaskInfo, do func(content) bool) bool {
	return commandSecrets(info.GetCommand(), do) || containerSecrets(info.GetContainer(), do) ||
		executorSecrets(info.GetExecutor(), do) ||
		healthCheckSecrets(info.GetHealthCheck(), do) || commandSecrets(info.GetCheck().GetCommand().GetCommand(), do)
}

func healthCheckSecrets(check *mesos.HealthCheck, do func(content) bool) bool {
	return commandSecrets(check.GetCommand(), do)
}

func executorSecrets(info *mesos.ExecutorInfo, do func(content) bool) bool {
	return commandSecrets(info.GetCommand(), do) || containerSecrets(info.GetContainer(), do)
}

func commandSecrets(c *mesos.CommandInfo, do func(content) bool) bool {
	for _, v := range c.GetEnvironment().GetVariables() {
		if v.Secret != nil && do(secret(v.Secret)) {
			return true
		}
	}
	return false
}

func containerSecrets(c *mesos.ContainerInfo, do func(content) bool) bool {
	if imageSecrets(c.GetMesos().GetImage(), do) {
		return true
	}
	for _, v := range c.GetVolumes() {
		if do(secret(v.GetSource().GetSecret())) || imageSecrets(v.GetImage(), do) {
			return true
		}
	}
	return false
}

func imageSecrets(i *mesos.Image, do func(content) bool) bool {
	return do(secret(i.GetDocker().GetConfig())) || do(password(i.GetDocker().GetCredential()))
}
