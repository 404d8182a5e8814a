package agent

import (
	"strings"
	"testing"

	"agora.dev/agora/internal/flags"
)

func TestLoginsOfRegistriesAreNotShown(t *testing.T) {
	c, set := Default(), flags.New("MESOS_")
	c.Flags(set)
	if _, err := set.Parse([]string{`--docker_config={"auths":{"r":{"auth":"canary"}}}`}, nil); err != nil {
		t.Fatal(err)
	}
	if shown := set.Values()["docker_config"]; strings.Contains(shown, "canary") || shown == "" || !strings.Contains(c.DockerConfig, "canary") {
		t.Errorf("shown: %q", shown)
	}
}
