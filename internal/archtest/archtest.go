// Package archtest holds the rules of the tree that a machine can check: which package may import
// which and why, what a pure package must not touch, and how files look.
//
// It promises that each rule states its reason, that a rule about a folder that does not exist
// passes, and that a folder without a rule fails. It refuses to build anything: it reads source.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the tree.
const Module = "agora.dev/agora"

// File is one Go file of the tree.
type File struct {
	// Path is below the root, with slashes.
	Path      string
	Test      bool
	Generated bool
	Lines     int
	Syntax    *ast.File
}

// Dir is the folder, "." for the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Imports lists what the file imports; packages of this tree without the module's name, with "./"
// before it.
func (f *File) Imports() []string {
	var out []string
	for _, spec := range f.Syntax.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if inside, ok := strings.CutPrefix(name, Module+"/"); ok {
			name = "./" + inside
		}
		out = append(out, name)
	}
	return out
}

// Tree is every Go file of the module.
type Tree struct {
	Fset  *token.FileSet
	Files []*File
}

// Load reads the tree below root. Generated files are read up to their imports.
func Load(root string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != root && skipped(name, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		return t.read(root, name)
	})
	return t, err
}

// skipped reports folders that hold no package of the module: those that Go ignores, what a build
// leaves, and modules of their own.
func skipped(name, base string) bool {
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" || base == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}

func (t *Tree) read(root, name string) error {
	source, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	below, err := filepath.Rel(root, name)
	if err != nil {
		return err
	}
	f := &File{Path: filepath.ToSlash(below), Test: strings.HasSuffix(name, "_test.go"),
		Generated: strings.HasSuffix(name, ".pb.go"), Lines: strings.Count(string(source), "\n")}
	mode := parser.ParseComments | parser.SkipObjectResolution
	if f.Generated {
		mode = parser.ImportsOnly | parser.SkipObjectResolution
	}
	if f.Syntax, err = parser.ParseFile(t.Fset, f.Path, source, mode); err != nil {
		return fmt.Errorf("parse %s: %w", f.Path, err)
	}
	if f.Syntax.Name.Name != "documentation" {
		t.Files = append(t.Files, f)
	}
	return nil
}

// matches reports whether a folder or import fits a pattern: itself, or with "/..." at its end
// everything below as well.
func matches(pattern, dir string) bool {
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == above || strings.HasPrefix(dir, above+"/")
	}
	return pattern == dir
}

func matchesAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, dir) })
}

// at writes a position as file:line.
func (t *Tree) at(pos token.Pos) string {
	p := t.Fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}
