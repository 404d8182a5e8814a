package core

import (
	"bytes"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/secrets"
	"google.golang.org/protobuf/proto"
)

func TestNoSecretIsWrittenDown(t *testing.T) {
	secret := func() *mesos.Secret {
		return &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte("canary")}}
	}
	command := func() *mesos.CommandInfo {
		return &mesos.CommandInfo{Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: proto.String("A"), Secret: secret()}}}}
	}
	container := func() *mesos.ContainerInfo {
		image := &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: proto.String("i"), Config: secret(),
			Credential: &mesos.Credential{Principal: proto.String("u"), Secret: proto.String("canary")}}}
		return &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Mesos: &mesos.ContainerInfo_MesosInfo{Image: image}, Volumes: []*mesos.Volume{
			{Mode: mesos.Volume_RW.Enum(), ContainerPath: proto.String("a"), Image: image},
			{Mode: mesos.Volume_RW.Enum(), ContainerPath: proto.String("b"), Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum(), Secret: secret()}}}}
	}
	id := &mesos.ExecutorID{Value: proto.String("e")}
	info := &mesos.TaskInfo{Name: proto.String("t"), TaskId: &mesos.TaskID{Value: proto.String("t")}, AgentId: &mesos.AgentID{Value: proto.String("a")},
		Command: command(), Container: container(), Executor: &mesos.ExecutorInfo{ExecutorId: id, Command: command(), Container: container()},
		HealthCheck: &mesos.HealthCheck{Command: command()}, Check: &mesos.CheckInfo{Command: &mesos.CheckInfo_Command{Command: command()}}}
	before := proto.CloneOf(info)
	told := (&Core{}).newTask(&executorRun{framework: &framework{info: &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: proto.String("f")}}}, info: info.Executor}, info)
	for _, written := range []proto.Message{secrets.WithoutTask(info), secrets.WithoutExecutor(info.Executor), told} {
		b, err := proto.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("canary")); n != 0 {
			t.Errorf("%d secrets in what is written of %T", n, written)
		}
	}
	if !proto.Equal(info, before) {
		t.Error("the task itself was changed")
	}
	plain := &mesos.TaskInfo{Name: proto.String("t"), Command: &mesos.CommandInfo{}}
	if secrets.WithoutTask(plain) != plain {
		t.Error("a task without secrets was copied")
	}
}
