package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRowsAreHeldByTests: each test and script is there that the pages of defects and faults name.
func TestRowsAreHeldByTests(t *testing.T) {
	const root = "../.."
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, match := range function.FindAllSubmatch(source, -1) {
				declared[string(match[1])] = true
			}
		case strings.Contains(path, "master/core/testdata/"):
			declared[entry.Name()] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"never-fixed.md", "faults.md"} {
		page, err := os.ReadFile(filepath.Join(root, "docs/design", name))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz)\\w+|[\\w-]+\\.txt)`").FindAllSubmatch(page, -1) {
			if named++; !declared[string(match[1])] {
				t.Errorf("%s names %s, which is not there", name, match[1])
			}
		}
		if named < 20 {
			t.Errorf("%s names %d tests", name, named)
		}
	}
}
