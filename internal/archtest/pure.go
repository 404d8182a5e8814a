package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// pure are the packages whose result depends on their arguments alone, so that the simulation can
// replay them from a seed.
var pure = append([]string{
	"api/...", "resources/...", "auth",
	"master/core", "master/allocator", "master/validation", "master/registry",
	"agent/core", "agent/statusupdates", "agent/containerizer", "agent/oversubscription",
	"executor", "executor/command", "executor/taskgroup", "executor/checks",
	"sim",
}, pureOrchestrator...)

// bannedImports is the half of the standard library that is not harmless, with the reason.
var bannedImports = []struct{ pattern, reason string }{
	{"net/...", "a pure package does no I/O"},
	{"os/...", "a pure package does no I/O"},
	{"syscall", "a pure package does no I/O"},
	{"log/...", "facts worth a log line are in the result"},
	{"crypto/rand", "randomness comes from the configuration, so that a seed replays it"},
	{"math/rand", "its functions share one generator; take a *rand.Rand of math/rand/v2"},
	{"sync/...", "one goroutine owns a core: it has no lock"},
	{"unsafe", "a core has no use for it"},
}

// pureExceptions are the imports that some pure packages have all the same.
var pureExceptions = []struct{ dir, name, reason string }{
	{"agent/core", "syscall", "names of signals, no calls"},
	{"agent/containerizer", "syscall", "names of signals in the contract, no calls"},
	{"api/codec", "sync", "the plans of messages are computed once, for all goroutines"},
}

// pureLibraries are the foreign packages that a pure one may use.
var pureLibraries = []string{"google.golang.org/protobuf/...", "github.com/planetscale/vtprotobuf/..."}

// bannedCalls read the clock, wait, or draw from the shared generator.
var bannedCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"},
}

// allowedCalls are, of packages that pure code imports with care, the names that it may use;
// a name that ends with * stands for a prefix.
var allowedCalls = map[string][]string{
	"syscall":      {"SIG*", "Signal"},
	"math/rand/v2": {"New*", "Rand", "Source", "PCG", "ChaCha8"},
}

// CheckPure lists what pure packages import and call that they must not.
func (t *Tree) CheckPure() []string {
	var out []string
	for _, f := range t.Files {
		if f.Test || f.Generated || !matchesAny(pure, f.Dir()) {
			continue
		}
		for _, name := range f.Imports() {
			if reason := banned(f.Dir(), name); reason != "" {
				out = append(out, fmt.Sprintf("%s: imports %s: %s", f.Path, name, reason))
			}
		}
		out = append(out, t.checkUses(f)...)
	}
	return out
}

func banned(dir, name string) string {
	for _, e := range pureExceptions {
		if e.dir == dir && e.name == name {
			return ""
		}
	}
	for _, b := range bannedImports {
		if matches(b.pattern, name) {
			return b.reason
		}
	}
	first, _, _ := strings.Cut(name, "/")
	if strings.Contains(first, ".") && first != "." && !matchesAny(pureLibraries, name) {
		return "a pure package uses the standard library, protobuf and its neighbours"
	}
	return ""
}

// checkUses looks at what a pure file does.
func (t *Tree) checkUses(f *File) []string {
	names := localNames(f)
	var out []string
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, t.at(n.Pos())+": starts a goroutine: one goroutine owns a core")
		case *ast.SelectorExpr:
			ident, ok := n.X.(*ast.Ident)
			if !ok || names[ident.Name] == "" {
				return true
			}
			from := names[ident.Name]
			allowed, limited := allowedCalls[from]
			if slices.Contains(bannedCalls[from], n.Sel.Name) || limited && !fits(allowed, n.Sel.Name) {
				out = append(out, fmt.Sprintf("%s: uses %s.%s: a core is given the time and its randomness", t.at(n.Pos()), from, n.Sel.Name))
			}
		}
		return true
	})
	return out
}

// localNames maps the name that a file gives a package to its import path.
func localNames(f *File) map[string]string {
	names := map[string]string{}
	for i, name := range f.Imports() {
		local := name[strings.LastIndexByte(name, '/')+1:]
		if name == "math/rand/v2" {
			local = "rand"
		}
		if alias := f.Syntax.Imports[i].Name; alias != nil {
			local = alias.Name
		}
		names[local] = name
	}
	return names
}

func fits(allowed []string, name string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		prefix, open := strings.CutSuffix(a, "*")
		return a == name || open && strings.HasPrefix(name, prefix)
	})
}
