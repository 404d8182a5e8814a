package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"sort"
	"strings"
)

// maxLines is where a file has a second concept in it.
const maxLines = 500

// CheckSize lists files that are too long. Tables of tests and generated files are exempt.
func (t *Tree) CheckSize() []string {
	var out []string
	for _, f := range t.Files {
		if !f.Test && !f.Generated && f.Lines > maxLines {
			out = append(out, fmt.Sprintf("%s: %d lines, at most %d", f.Path, f.Lines, maxLines))
		}
	}
	return out
}

// CheckPackageComments lists packages that have no package comment, or several. Packages that are
// generated, or hold nothing but tests, are exempt.
func (t *Tree) CheckPackageComments() []string {
	comments := map[string][]string{}
	for _, f := range t.Files {
		if f.Test || f.Generated {
			continue
		}
		if _, seen := comments[f.Dir()]; !seen {
			comments[f.Dir()] = nil
		}
		if f.Syntax.Doc != nil && strings.TrimSpace(f.Syntax.Doc.Text()) != "" {
			comments[f.Dir()] = append(comments[f.Dir()], f.Path)
		}
	}
	var out []string
	for dir, files := range comments {
		switch len(files) {
		case 0:
			out = append(out, dir+": no package comment")
		case 1:
		default:
			out = append(out, fmt.Sprintf("%s: several package comments: %s", dir, strings.Join(files, ", ")))
		}
	}
	sort.Strings(out)
	return out
}

// CheckSleeps lists tests that wait by sleeping outside a bubble of testing/synctest, where time
// is real.
func (t *Tree) CheckSleeps() []string {
	var out []string
	for _, f := range t.Files {
		if !f.Test {
			continue
		}
		names := localNames(f)
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if from, name := called(names, n.Fun); from == "testing/synctest" && (name == "Test" || name == "Run") {
					return false
				}
			case *ast.SelectorExpr:
				if from, name := called(names, n); from == "time" && name == "Sleep" {
					out = append(out, t.at(n.Pos())+": sleeps outside synctest: wait for the event")
				}
			}
			return true
		})
	}
	return out
}

// called names the package and name of a selector of a package.
func called(names map[string]string, fun ast.Expr) (from, name string) {
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	ident, ok := selector.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return names[ident.Name], selector.Sel.Name
}

var postponed = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// CheckPostponed lists comments that put something off.
func (t *Tree) CheckPostponed() []string {
	var out []string
	for _, f := range t.Files {
		if f.Generated {
			continue
		}
		for _, group := range f.Syntax.Comments {
			for _, comment := range group.List {
				if word := postponed.FindString(comment.Text); word != "" {
					out = append(out, fmt.Sprintf("%s: %s: do it, or say in docs/design/compatibility.md that it is not there", t.at(comment.Pos()), word))
				}
			}
		}
	}
	return out
}

// vague are names that say nothing of what is in a file or package.
var vague = map[string]bool{"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "misc": true, "types": true}

// CheckNames lists files and folders with names that say nothing.
func (t *Tree) CheckNames() []string {
	var out []string
	for _, f := range t.Files {
		for _, part := range strings.Split(strings.TrimSuffix(f.Path, ".go"), "/") {
			if vague[strings.TrimSuffix(part, "_test")] {
				out = append(out, fmt.Sprintf("%s: %q says nothing of what is in it", f.Path, part))
			}
		}
	}
	return out
}
