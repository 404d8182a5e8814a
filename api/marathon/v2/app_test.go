package marathon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func parse(t *testing.T, text string) *App {
	t.Helper()
	app, err := ParseApp([]byte(text))
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return app
}

func TestAMinimalAppGetsMarathonsDefaults(t *testing.T) {
	app := parse(t, `{"id":"a//web/","cmd":"sleep 1"}`)
	if err := app.Validate(); err != nil {
		t.Fatal(err)
	}
	if app.ID != "/a/web" || app.Instances != 1 || app.CPUs != 1 || app.Mem != 128 || app.BackoffFactor != 1.15 ||
		app.UpgradeStrategy.MaximumOverCapacity != 1 || len(app.PortDefinitions) != 1 || app.Networks[0].Mode != "host" {
		t.Fatalf("got %+v", app)
	}
	written, _ := json.Marshal(app)
	if again := parse(t, string(written)); !reflect.DeepEqual(again, app) {
		t.Fatalf("read back %+v, want %+v", again, app)
	}
}

func TestOldSpellingsAreTranslated(t *testing.T) {
	app := parse(t, `{"id":"/a","cmd":"x","uris":["http://a/b.tgz"],"ports":[0,8080],"requirePorts":true,
		"container":{"docker":{"image":"busybox","network":"HOST"}},"env":{"A":"b"},"unreachableStrategy":"disabled"}`)
	if err := app.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(app.Fetch) != 1 || !app.Fetch[0].Extract || app.PortDefinitions[1].Port != 8080 || app.Ports != nil ||
		app.Container.Type != "DOCKER" || !app.UnreachableStrategy.Disabled || app.Env["A"].Value != "b" {
		t.Fatalf("got %+v", app)
	}
}

func TestWhatIsWrongIsNamedByPath(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":"/A","cmd":"x"}`:                "/id",
		`{"cmd":"x"}`:                          "/id",
		`{"id":"/a"}`:                          "/ " + textCommand,
		`{"id":"/a","cmd":"x","args":["y"]}`:   "/ " + textCommand,
		`{"id":"/a","cmd":"x","cpus":-1}`:      "/cpus",
		`{"id":"/a","cmd":"x","instances":-1}`: "/instances",
		`{"id":"/a","cmd":"x","upgradeStrategy":{"minimumHealthCapacity":1.5}}`:                                                                                           "/upgradeStrategy/minimumHealthCapacity is greater than 1",
		`{"id":"/a","cmd":"x","constraints":[["hostname","NEAR"]]}`:                                                                                                       "/constraints(0)",
		`{"id":"/a","cmd":"x","constraints":[["hostname","LIKE","("]]}`:                                                                                                   "not a valid regular expression",
		`{"id":"/a","cmd":"x","healthChecks":[{"protocol":"SMTP"}]}`:                                                                                                      "/healthChecks(0)/protocol",
		`{"id":"/a","cmd":"x","healthChecks":[{"portIndex":1}]}`:                                                                                                          "/healthChecks(0)/portIndex",
		`{"id":"/a","cmd":"x","healthChecks":[{"port":1,"portIndex":0}]}`:                                                                                                 "/healthChecks(0) may not contain both",
		`{"id":"/a","cmd":"x","healthChecks":[{"protocol":"COMMAND"}]}`:                                                                                                   "/healthChecks(0)/command",
		`{"id":"/a","cmd":"x","healthChecks":[{"path":"a"}]}`:                                                                                                             "/healthChecks(0)/path",
		`{"id":"/a","cmd":"x","healthChecks":[{"intervalSeconds":-1}]}`:                                                                                                   "/healthChecks(0)/intervalSeconds",
		`{"id":"/a","cmd":"x","healthChecks":[{},{}]}`:                                                                                                                    "/healthChecks this version makes one",
		`{"id":"/a","cmd":"x","check":{}}`:                                                                                                                                "/check must contain one of",
		`{"id":"/a","cmd":"x","check":{"exec":{"command":{}}}}`:                                                                                                           "/check/exec/command",
		`{"id":"/a","cmd":"x","check":{"http":{"scheme":"HTTPS"}}}`:                                                                                                       "/check/http/scheme",
		`{"id":"/a","cmd":"x","readinessChecks":[{}]}`:                                                                                                                    "/readinessChecks is not supported",
		`{"id":"/a","cmd":"x","env":{"A":{"secret":"s"}},"secrets":{"s":{}}}`:                                                                                             "/secrets(s)/source must not be empty",
		`{"id":"/a","container":{"type":"MESOS","volumes":[{"containerPath":"a","secret":"s"}]}}`:                                                                         "/container/volumes(0)/secret references a secret that is not declared",
		`{"id":"/a","cmd":"x","env":{"A":{"secret":"s"}}}`:                                                                                                                "/env(A)",
		`{"id":"/a","container":{"docker":{"image":"i","privileged":true}}}`:                                                                                              "/container/docker/privileged",
		`{"id":"/a","cmd":"x","portDefinitions":[{"port":80},{"port":80}]}`:                                                                                               "Ports must be unique.",
		`{"id":"/a","container":{"type":"MESOS","volumes":[{"containerPath":"a"}]}}`:                                                                                      "/container/volumes(0)/hostPath",
		`{"id":"/a","cmd":"x","networks":[{"mode":"bridge"}]}`:                                                                                                            "/networks(0)/mode",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge","name":"n"}]}`:                                                                                       "/networks(0)/name must be empty",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container"}]}`:                                                                                                         "/networks(0)/name must not be empty",
		`{"id":"/a","cmd":"x","networks":[{"mode":"host"},{"mode":"container","name":"n"}]}`:                                                                              "/networks may be",
		`{"id":"/a","cmd":"x","container":{"type":"MESOS","portMappings":[{"containerPort":80}]}}`:                                                                        "/container/portMappings need a bridge",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}],"portDefinitions":[{"port":1}]}`:                                                                   "/portDefinitions need the host network",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[{"containerPort":70000}]}}`:                            "/container/portMappings(0)/containerPort",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[{"hostPort":80},{"hostPort":80}]}}`:                    "Host ports must be unique.",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container","name":"n"}],"container":{"type":"MESOS","portMappings":[{"networkNames":["m"]}]}}`:                         "/container/portMappings(0)/networkNames",
		`{"id":"/a","cmd":"x","networks":[{"mode":"container","name":"n"},{"mode":"container","name":"m"}],"container":{"type":"MESOS","portMappings":[{"hostPort":0}]}}`: "a host port leads to one network",
	} {
		err := parse(t, text).Validate()
		if err == nil || err.Code != 422 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestAPatchReplacesFieldsAndKeepsTheRest(t *testing.T) {
	base := parse(t, `{"id":"/a","cmd":"x","mem":64,"labels":{"k":"v"}}`)
	got, err := ParsePatch(base, []byte(`{"instances":5,"args":["y"],"labels":{"l":"w"},"mem":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Instances != 5 || got.Cmd != "" || got.Args[0] != "y" || got.Mem != 64 || !reflect.DeepEqual(got.Labels, map[string]string{"l": "w"}) {
		t.Fatalf("got %+v", got)
	}
	if _, err := ParsePatch(base, []byte(`{"instances":"many"}`)); err == nil || err.Code != 400 {
		t.Fatalf("got %v, want 400", err)
	}
}

func FuzzParseAppNeverPanics(f *testing.F) {
	f.Add([]byte(`{"id":"/a","cmd":"x","container":{"docker":null},"env":{"A":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if app, err := ParseApp(data); err == nil {
			app.Validate()
		}
	})
}
