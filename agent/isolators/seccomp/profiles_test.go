package seccomp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestProfileIsTheTasksOrTheOperators(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"strict.json": `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
		"loose.json":  `{"defaultAction":"SCMP_ACT_ALLOW"}`,
		"broken.json": `{`, "odd.json": `{"defaultAction":"SCMP_ACT_NONSENSE"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yes, no, name := true, false, func(n string) *string { return &n }
	for _, c := range []struct {
		what    string
		chosen  string
		noDir   bool
		task    *mesos.SeccompInfo
		action  specs.LinuxSeccompAction // "" for no filter
		refused string
	}{
		{what: "the built-in one", noDir: true, action: specs.ActErrno},
		{what: "the operator's", chosen: "loose.json", action: specs.ActAllow},
		{what: "the task's", chosen: "loose.json", task: &mesos.SeccompInfo{ProfileName: name("strict.json")}, action: specs.ActErrno},
		{what: "unconfined", chosen: "strict.json", task: &mesos.SeccompInfo{Unconfined: &yes}},
		{what: "both", task: &mesos.SeccompInfo{Unconfined: &yes, ProfileName: name("strict.json")}, refused: textBoth},
		{what: "neither", task: &mesos.SeccompInfo{Unconfined: &no}, refused: textNoName},
		{what: "no directory", noDir: true, task: &mesos.SeccompInfo{ProfileName: name("strict.json")}, refused: "--seccomp_config_dir"},
		{what: "a path", task: &mesos.SeccompInfo{ProfileName: name("../x")}, refused: "must be the name of a file"},
		{what: "the directory", task: &mesos.SeccompInfo{ProfileName: name("..")}, refused: "must be the name of a file"},
		{what: "missing", task: &mesos.SeccompInfo{ProfileName: name("none.json")}, refused: "no such file"},
		{what: "broken", task: &mesos.SeccompInfo{ProfileName: name("broken.json")}, refused: "broken.json"},
	} {
		p := Profiles{Dir: dir, Default: c.chosen}
		if c.noDir {
			p.Dir = ""
		}
		got, err := p.For(c.task, nil)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %v, want %q", c.what, err, c.refused)
			}
		case err != nil:
			t.Errorf("%s: %v", c.what, err)
		case (got == nil) != (c.action == "") || (got != nil && got.DefaultAction != c.action):
			t.Errorf("%s: got %+v, want %q", c.what, got, c.action)
		}
	}
	for _, c := range []struct {
		p    Profiles
		want string
	}{
		{Profiles{Default: "x"}, "needs --seccomp_config_dir"}, {Profiles{Dir: dir + "/none"}, "not a directory"},
		{Profiles{Dir: dir, Default: "broken.json"}, "--seccomp_profile_name"}, {Profiles{Dir: dir, Default: "odd.json"}, "SCMP_ACT_NONSENSE"},
	} {
		if err := c.p.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.p, err, c.want)
		}
	}
	if err := (Profiles{Dir: dir, Default: "strict.json"}).Check(); err != nil {
		t.Error(err)
	}
}
