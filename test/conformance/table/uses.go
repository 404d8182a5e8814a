package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module = "agora.dev/agora/"
	apiDir = module + "api/mesos/v1"
)

// components are the packages whose use of a field or constant counts. The binary's commands and clients come last.
var components = []string{"master/", "agent/", "executor/", "resources/", "auth/", "orchestrator/", "client/", "cli/"}

// Uses tells the directory that uses a field of a message ("PATH.Type.Field"), a constant of the API ("PATH.Name"), or a
// permission ("action NUMBER").
type Uses map[string]string

type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// FindUses type-checks the components in root. Generated code and tests do not count.
func FindUses(root string) (Uses, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}
	for _, c := range components {
		args = append(args, "./"+c+"...")
	}
	list := exec.Command("go", args...)
	list.Dir = root
	var problem bytes.Buffer
	list.Stderr = &problem
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, problem.Bytes())
	}
	exports := map[string]string{}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[p.ImportPath] = p.Export
		if !p.DepOnly {
			packages = append(packages, p)
		}
	}
	s := &scanner{uses: Uses{}, root: root, files: token.NewFileSet()}
	s.importer = importer.ForCompiler(s.files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, c := range components {
		for _, p := range packages {
			if strings.HasPrefix(p.ImportPath+"/", module+c) {
				if err := s.scan(p); err != nil {
					return nil, err
				}
			}
		}
	}
	return s.uses, nil
}

type scanner struct {
	uses     Uses
	root     string
	files    *token.FileSet
	importer types.Importer
}

func (s *scanner) scan(p listed) error {
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(s.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: s.importer}
	if _, err := config.Check(p.ImportPath, s.files, files, info); err != nil {
		return fmt.Errorf("check %s: %w", p.ImportPath, err)
	}
	for selector, selection := range info.Selections {
		owner, name := named(selection.Recv()), selection.Obj().Name()
		if selection.Kind() == types.MethodVal {
			name = strings.TrimPrefix(name, "Get")
		}
		if owner != "" {
			s.note(owner+"."+name, selector.Pos())
		}
	}
	for ident, object := range info.Uses {
		c, ok := object.(*types.Const)
		switch {
		case !ok || c.Pkg() == nil:
		case strings.HasPrefix(c.Pkg().Path(), apiDir):
			s.note(c.Pkg().Path()+"."+c.Name(), ident.Pos())
		case c.Pkg().Path() == module+"auth" && !s.isTable(ident.Pos()): // a permission that somebody asks for
			s.note("action "+c.Val().String(), ident.Pos())
		}
	}
	for _, file := range files {
		s.literals(file, info)
	}
	return nil
}

// isTable says whether a place is where permissions are listed and rules read: it names all of them and asks for none.
// auth/object.go makes questions of operations.
func (s *scanner) isTable(at token.Pos) bool {
	name := filepath.ToSlash(s.files.Position(at).Filename)
	return strings.HasSuffix(filepath.ToSlash(filepath.Dir(name)), "/auth") && !strings.HasSuffix(name, "/object.go")
}

// literals notes the fields that composite literals set.
func (s *scanner) literals(file *ast.File, info *types.Info) {
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		owner := ""
		switch t := literal.Type.(type) {
		case *ast.SelectorExpr:
			if object := info.Uses[t.Sel]; object != nil {
				owner = named(object.Type())
			}
		case *ast.Ident:
			if object := info.Uses[t]; object != nil {
				owner = named(object.Type())
			}
		}
		for _, element := range literal.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok && owner != "" {
				if key, ok := pair.Key.(*ast.Ident); ok {
					s.note(owner+"."+key.Name, key.Pos())
				}
			}
		}
		return true
	})
}

// note keeps the least directory of the first component that uses a thing.
func (s *scanner) note(what string, at token.Pos) {
	file, err := filepath.Rel(s.root, filepath.Dir(s.files.Position(at).Filename))
	if err != nil {
		return
	}
	old, known := s.uses[what]
	if !known || rank(file) == rank(old) && file < old {
		s.uses[what] = file
	}
}

func rank(file string) int {
	for i, c := range components {
		if strings.HasPrefix(file+"/", c) {
			return i
		}
	}
	return len(components)
}

// named is "path.Type" of a message, and empty for other types.
func named(t types.Type) string {
	if pointer, ok := t.(*types.Pointer); ok {
		t = pointer.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil || !strings.HasPrefix(n.Obj().Pkg().Path(), apiDir) {
		return ""
	}
	return n.Obj().Pkg().Path() + "." + n.Obj().Name()
}
