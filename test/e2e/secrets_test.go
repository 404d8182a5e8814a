package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// TestAppWithASecret is Marathon's way: the app names the secret, the agent has it.
func TestAppWithASecret(t *testing.T) {
	d := startDev(t)
	dir := filepath.Join(d.state, "secrets")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "db"), []byte("hush"), 0o600)); err != nil {
		t.Fatal(err)
	}
	app := `{"id":"/vault","args":["sh","-c","test $PW = hush && test $(cat token) = hush && echo equal && sleep 1000"],"cpus":0.1,"mem":32,"portDefinitions":[],
		"secrets":{"pw":{"source":"db"}},"env":{"PW":{"secret":"pw"}},"container":{"type":"MESOS","volumes":[{"containerPath":"token","secret":"pw"}]}}`
	response, err := http.Post("http://"+d.marathon+"/v2/apps", "application/json", strings.NewReader(app))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	d.running(t, "vault", 1)
	eventually(t, "the command has compared", 20*time.Second, func() error {
		_, out, errOut := d.agora(t, "logs", "vault")
		if !strings.Contains(out, "equal") {
			return errors.New(out + errOut)
		}
		return nil
	})
}

// TestSecretOfATaskIsInNoFile looks at everything that master, agent, launcher and
// containers have written, while a task that has the secret runs.
func TestSecretOfATaskIsInNoFile(t *testing.T) {
	const canary = "canary-70b2f4d1"
	secret := &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte(canary)}}
	// The command is written down and must not hold the secret itself.
	script := `test ${#TOKEN} = 15 && test "$(cat token)" = "$TOKEN" && sleep 1000`
	d := startDev(t)
	s := startSmall(t, d, codec.JSON, func(offer *mesos.Offer, _ *mesos.FrameworkID) *mesos.Offer_Operation {
		task := &mesos.TaskInfo{Name: proto.String("holder"), TaskId: &mesos.TaskID{Value: proto.String("holder")}, AgentId: offer.AgentId,
			Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)},
			Command: &mesos.CommandInfo{Value: &script, Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{
				{Name: proto.String("TOKEN"), Type: mesos.Environment_Variable_SECRET.Enum(), Secret: secret}}}},
			Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: []*mesos.Volume{{Mode: mesos.Volume_RO.Enum(), ContainerPath: proto.String("token"),
				Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum(), Secret: secret}}}}}
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}
	})
	eventually(t, "the task runs", 20*time.Second, func() error { return s.reached("holder", mesos.TaskState_TASK_RUNNING) })
	files := 0
	err := filepath.WalkDir(d.state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it may have just gone
		}
		files++
		if content, _ := os.ReadFile(path); bytes.Contains(content, []byte(canary)) {
			t.Errorf("the secret is in %s", path)
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("looked at %d files: %v", files, err)
	}
	for _, url := range []string{"http://" + d.master + "/state", "http://127.0.0.1:" + d.ports[len(d.ports)-1] + "/state"} {
		if body, err := get(url); err != nil || bytes.Contains([]byte(body), []byte(canary)) {
			t.Errorf("%s tells the secret, or %v", url, err)
		}
	}
}
