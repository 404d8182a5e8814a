package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTreeKeepsItsRules(t *testing.T) {
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) < 100 {
		t.Fatalf("read %d files: this is not the tree", len(tree.Files))
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			for _, violation := range rule.check(tree) {
				t.Error(violation)
			}
		})
	}
}

var rules = []struct {
	name  string
	check func(*Tree) []string
}{
	{"imports go downwards only", (*Tree).CheckLayers},
	{"cores are pure", (*Tree).CheckPure},
	{"files hold one concept", (*Tree).CheckSize},
	{"each package has one comment", (*Tree).CheckPackageComments},
	{"tests do not sleep", (*Tree).CheckSleeps},
	{"nothing is put off", (*Tree).CheckPostponed},
	{"names say what is inside", (*Tree).CheckNames},
}

func TestEachRuleFindsItsViolation(t *testing.T) {
	const doc = "// Package x is.\npackage x\n"
	for _, c := range []struct{ rule, path, source, want string }{
		{"imports go downwards only", "master/httpapi/x.go", doc + `import _ "agora.dev/agora/agent/core"`, "imports agent/core"},
		{"imports go downwards only", "orchestrator/store/x.go", doc + `import _ "agora.dev/agora/master"`, "imports master"},
		{"imports go downwards only", "internal/loop/x.go", doc + `import _ "agora.dev/agora/api/codec"`, "imports api/codec"},
		{"imports go downwards only", "client/x/x.go", doc + `import _ "agora.dev/agora/agent"`, "imports agent"},
		{"imports go downwards only", "novelty/x.go", doc, "no layer"},
		{"cores are pure", "master/core/x.go", doc + `import _ "net/http"`, "imports net/http"},
		{"cores are pure", "agent/core/x.go", doc + `import _ "log/slog"`, "imports log/slog"},
		{"cores are pure", "agent/core/x.go", doc + "import \"syscall\"\nvar _ = syscall.Getpid()", "uses syscall.Getpid"},
		{"cores are pure", "executor/x.go", doc + "import clock \"time\"\nvar _ = clock.Now()", "uses time.Now"},
		{"cores are pure", "executor/x.go", doc + "func f() { go f() }", "starts a goroutine"},
		{"cores are pure", "master/allocator/x.go", doc + "import \"math/rand/v2\"\nvar _ = rand.IntN(3)", "uses math/rand/v2.IntN"},
		{"cores are pure", "resources/x.go", doc + `import _ "github.com/google/uuid"`, "imports github.com/google/uuid"},
		{"files hold one concept", "cli/x.go", doc + strings.Repeat("\n", maxLines), "lines"},
		{"each package has one comment", "cli/x.go", "package x\n", "no package comment"},
		{"tests do not sleep", "cli/x_test.go", "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }", "sleeps"},
		{"nothing is put off", "cli/x.go", doc + "// TO" + "DO: all of it\n", "TO" + "DO"},
		{"names say what is inside", "cli/helpers.go", doc, "says nothing"},
	} {
		root := t.TempDir()
		write(t, root, c.path, c.source)
		tree, err := Load(root)
		if err != nil {
			t.Fatalf("%s: %v", c.source, err)
		}
		for _, rule := range rules {
			found := strings.Join(rule.check(tree), "\n")
			if rule.name == c.rule && !strings.Contains(found, c.want) {
				t.Errorf("%s: %s\n got %q, want %q in it", c.path, c.source, found, c.want)
			}
		}
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	root := t.TempDir()
	const doc = "// Package x is.\npackage x\n"
	for path, source := range map[string]string{
		"agent/core/x.go":       doc + "import \"syscall\"\nvar _ syscall.Signal = syscall.SIGKILL",
		"master/allocator/x.go": doc + "import \"math/rand/v2\"\nfunc f(r *rand.Rand) { r.Shuffle(0, nil); rand.New(nil) }",
		"master/core/x.go":      doc + "import \"time\"\nimport _ \"agora.dev/agora/master/registry\"\nvar _ = time.Second",
		"cli/x_test.go":         "package x\nimport (\"time\"; \"testing\"; \"testing/synctest\")\nfunc f(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }",
		"cli/x.go":              doc,
		"tools/go.mod":          "module tools\n",
		"tools/x.go":            "package main // TO" + "DO: another module\n",
		"agent/testdata/x.go":   "not Go",
	} {
		write(t, root, path, source)
	}
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		for _, violation := range rule.check(tree) {
			t.Errorf("%s: %s", rule.name, violation)
		}
	}
}

func TestEachLayerStatesItsReason(t *testing.T) {
	for _, layer := range Layers {
		if layer.Reason == "" || len(layer.Dirs) == 0 {
			t.Errorf("%v: no reason", layer.Dirs)
		}
	}
}

func write(t *testing.T, root, path, source string) {
	t.Helper()
	name := filepath.Join(root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
}
