package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/api/mesos/v1/master"
)

// source parses the Go files of a folder, tests apart.
func source(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("source of %s: %v, %v", dir, paths, err)
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = file
	}
	return files
}

func TestEveryRouteSaysWhatItAsks(t *testing.T) {
	e := newEdge(t)
	for path := range e.routes() {
		if _, declared := routeTable[path]; !declared {
			t.Errorf("%s: add a row to routeTable", path)
		}
	}
	for path, access := range routeTable {
		if access.Realm == 0 {
			t.Errorf("%s: its row names no realm", path)
		}
	}
}

func TestEveryCallSaysWhatItAsks(t *testing.T) {
	for number, name := range master.Call_Type_name {
		if _, declared := callTable[master.Call_Type(number)]; !declared {
			t.Errorf("%s: add a row to callTable", name)
		}
	}
}

func TestEveryCommandSaysWhatItAsks(t *testing.T) {
	var have, want []string
	for _, file := range source(t, "../core") {
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Name.Name == "isOperatorCommand" && f.Recv != nil {
				want = append(want, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	ast.Inspect(source(t, ".")["commands.go"], func(n ast.Node) bool {
		if c, ok := n.(*ast.CaseClause); ok {
			for _, kind := range c.List {
				if s, ok := kind.(*ast.SelectorExpr); ok {
					have = append(have, s.Sel.Name)
				}
			}
		}
		return true
	})
	if len(want) < 8 {
		t.Fatalf("found the commands %v", want)
	}
	for _, name := range want {
		if !slices.Contains(have, name) {
			t.Errorf("core.%s: add an arm to commandQuestions", name)
		}
	}
}

// TestOneWayInAndOneWayOut holds that queries begin with what their sender may see, and that commands
// reach the core after they were asked about.
func TestOneWayInAndOneWayOut(t *testing.T) {
	for _, rule := range []struct {
		what    string
		allowed []string
		found   func(ast.Node) bool
	}{
		{"reads cfg.Snapshot: begin with s.visible(r)", []string{"visible.go", "access.go", "router.go", "role_views.go"}, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Snapshot" {
				return false
			}
			of, ok := s.X.(*ast.SelectorExpr)
			return ok && of.Sel.Name == "cfg"
		}},
		{"makes a core.OperatorCall: use s.askOperator", []string{"access.go", "relay.go"}, func(n ast.Node) bool {
			c, ok := n.(*ast.CompositeLit)
			if !ok {
				return false
			}
			s, ok := c.Type.(*ast.SelectorExpr)
			return ok && s.Sel.Name == "OperatorCall"
		}},
	} {
		for name, file := range source(t, ".") {
			ast.Inspect(file, func(n ast.Node) bool {
				if rule.found(n) && !slices.Contains(rule.allowed, name) {
					t.Errorf("%s %s", name, rule.what)
				}
				return true
			})
		}
	}
}
