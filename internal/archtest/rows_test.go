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
		case filepath.Ext(path) == ".txt" && strings.Contains(path, "/testdata/"):
			declared[entry.Name()] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"never-fixed.md", "faults.md", "agent-rows.md"} {
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

// TestEveryRowOfTheAgentHasAState: what Mesos's agent promises is done, with the test that holds it, or the page says why it is not.
func TestEveryRowOfTheAgentHasAState(t *testing.T) {
	page, err := os.ReadFile("../../docs/design/agent-rows.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 || cells[1] == "state" {
			continue
		}
		rows++
		proof := strings.TrimSuffix(cells[2], " |")
		held := regexp.MustCompile("`(Test|Fuzz)\\w+`|`[\\w-]+\\.txt`|the suite's|Contract|see ").MatchString(proof)
		switch {
		case cells[1] == "done" && !held:
			t.Errorf("nothing holds %s", cells[0])
		case cells[1] != "done" && cells[1] != "differs" && cells[1] != "not built":
			t.Errorf("%s is %q", cells[0], cells[1])
		case len(proof) < 10:
			t.Errorf("%s: no reason", cells[0])
		}
	}
	if rows < 80 {
		t.Errorf("%d rows", rows)
	}
}
