package core

import (
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// What is written down has no content of a secret: a later agent launches nothing of it.

func taskWithoutSecrets(info *mesos.TaskInfo) *mesos.TaskInfo {
	if !taskSecrets(info, has) {
		return info
	}
	info = proto.CloneOf(info)
	taskSecrets(info, empty)
	return info
}

func executorWithoutSecrets(info *mesos.ExecutorInfo) *mesos.ExecutorInfo {
	if !executorSecrets(info, has) {
		return info
	}
	info = proto.CloneOf(info)
	executorSecrets(info, empty)
	return info
}

// has and empty are what is done with each secret; true ends the search.
func has(s *mesos.Secret) bool { return len(s.GetValue().GetData()) > 0 }

func empty(s *mesos.Secret) bool {
	if has(s) {
		s.Value.Data = []byte{}
	}
	return false
}

func taskSecrets(info *mesos.TaskInfo, do func(*mesos.Secret) bool) bool {
	return commandSecrets(info.GetCommand(), do) || containerSecrets(info.GetContainer(), do) ||
		executorSecrets(info.GetExecutor(), do) ||
		commandSecrets(info.GetHealthCheck().GetCommand(), do) || commandSecrets(info.GetCheck().GetCommand().GetCommand(), do)
}

func executorSecrets(info *mesos.ExecutorInfo, do func(*mesos.Secret) bool) bool {
	return commandSecrets(info.GetCommand(), do) || containerSecrets(info.GetContainer(), do)
}

func commandSecrets(c *mesos.CommandInfo, do func(*mesos.Secret) bool) bool {
	for _, v := range c.GetEnvironment().GetVariables() {
		if v.Secret != nil && do(v.Secret) {
			return true
		}
	}
	return false
}

func containerSecrets(c *mesos.ContainerInfo, do func(*mesos.Secret) bool) bool {
	if s := c.GetMesos().GetImage().GetDocker().GetConfig(); s != nil && do(s) {
		return true
	}
	for _, v := range c.GetVolumes() {
		for _, s := range []*mesos.Secret{v.GetSource().GetSecret(), v.GetImage().GetDocker().GetConfig()} {
			if s != nil && do(s) {
				return true
			}
		}
	}
	return false
}
