package auth

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// TestStories reads testdata/acls.txt: a document, then questions with the answers that they must
// get. "-" stands for nobody, "*" for every object.
func TestStories(t *testing.T) {
	file, err := os.Open("testdata/acls.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var acls *ACLs
	questions := 0
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '{':
			if acls, err = ParseACLs([]byte(line)); err != nil {
				t.Fatalf("line %d: %v", number, err)
			}
		default:
			questions++
			ask(t, acls, number, strings.Fields(line))
		}
	}
	if questions < 40 {
		t.Errorf("%d questions were asked", questions)
	}
}

func ask(t *testing.T, acls *ACLs, line int, words []string) {
	t.Helper()
	if len(words) != 4 {
		t.Fatalf("line %d: principal key object yes|no", line)
	}
	action, ok := byKey(words[1])
	if !ok {
		t.Fatalf("line %d: no action %s", line, words[1])
	}
	p, object := Named(words[0]), Of(words[2])
	if words[0] == "-" {
		p = nil
	}
	if words[2] == "*" {
		object = Any
	}
	want := words[3] == "yes"
	if got := acls.Allows(p, action, object); got != want {
		t.Errorf("line %d: %s: got %v", line, strings.Join(words, " "), got)
	}
	if acls.AllowsAll(p, action) && !want {
		t.Errorf("line %d: %s: AllowsAll promises what Allows refuses", line, strings.Join(words, " "))
	}
}

func TestBadDocumentsSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`[]`, "an object is expected"},
		{`{"run_task":[]}`, `unknown key "run_task"`},
		{`{"run_tasks":[],"run_tasks":[]}`, `"run_tasks" stands there twice`},
		{`{"run_tasks":{}}`, "run_tasks: "},
		{`{"run_tasks":[{"principals":{"type":"ANY"}}]}`, "run_tasks[0]: users is missing"},
		{`{"run_tasks":[{"users":{"type":"ANY"}}]}`, "principals is missing"},
		{`{"run_tasks":[{"principals":{"type":"admin"},"users":{"type":"ANY"}}]}`, `type "admin" is none of`},
		{`{"run_tasks":[{"principals":{"value":["a"]},"users":{"type":"ANY"}}]}`, "unknown field"},
		{`{"run_tasks":[{"principals":{"type":"ANY"},"roles":{"type":"ANY"}}]}`, "it has principals and users"},
		{`{"view_flags":[{"principals":{"type":"ANY"},"flags":{"values":["x"]}}]}`, "must be"},
		{`{"get_endpoints":[{"principals":{"type":"ANY"},"paths":{"values":["/state"]}}]}`, "not an authorizable path"},
		{`{"view_roles":[{"principals":{"type":"ANY"},"roles":{"values":["a/%/b"]}}]}`, "only at the end"},
		{`{"permissive":"yes"}`, "cannot unmarshal"},
		{`{} {}`, "text after the document"},
		{``, "EOF"},
	} {
		if _, err := ParseACLs([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestEveryActionHasItsKey(t *testing.T) {
	keys := map[string]bool{}
	for _, action := range Actions() {
		if action.Key() == "" || action.ObjectKey() == "" || keys[action.Key()] {
			t.Errorf("%v: key %q, objects %q", action, action.Key(), action.ObjectKey())
		}
		keys[action.Key()] = true
		text := `{"permissive":false,"` + action.Key() + `":[{"principals":{"values":["ops"]},"` + action.ObjectKey() + `":{"type":"ANY"}}]}`
		acls, err := ParseACLs([]byte(text))
		if err != nil {
			t.Errorf("%v: %v", action, err)
			continue
		}
		if !acls.Allows(Named("ops"), action, Any) || !acls.AllowsAll(Named("ops"), action) || acls.Allows(Named("op"), action, Any) || acls.Allows(nil, action, Any) {
			t.Errorf("%v: its rule does not hold", action)
		}
	}
}

func TestExecutorTouchesItsOwnContainersOnly(t *testing.T) {
	acls := Permissive(true)
	executor := &Principal{Claims: map[string]string{"cid": "a", "fid": "f", "eid": "e"}}
	for _, c := range []struct {
		action Action
		object Object
		want   bool
	}{
		{LaunchNestedContainer, Of("root").Inside("a"), true},
		{LaunchNestedContainerAsUser, Of("root").Inside("a"), true},
		{WaitNestedContainer, Any.Inside("a"), true},
		{WaitNestedContainer, Any.Inside("ab"), false},
		{WaitNestedContainer, Any, false},
		{AttachContainerInput, Any.Inside("a"), false},
		{ViewFramework, Of("root"), false},
		{PruneImages, Any, false},
	} {
		if got := acls.Allows(executor, c.action, c.object); got != c.want {
			t.Errorf("%v %+v: got %v", c.action, c.object, got)
		}
	}
	if acls.AllowsAll(executor, ViewTask) || acls.Allows(&Principal{}, WaitNestedContainer, Any) {
		t.Error("claims without a name open everything")
	}
}

// FuzzACLs holds that no document makes the parser or a decision panic, and that AllowsAll never
// promises more than Allows keeps.
func FuzzACLs(f *testing.F) {
	f.Add(`{"permissive":false,"view_roles":[{"principals":{"values":["a"]},"roles":{"values":["x/%","y"]}}]}`, "a", "x/z")
	f.Add(`{"run_tasks":[{"principals":{"type":"NONE"},"users":{"values":["root"]}}]}`, "", "root")
	f.Fuzz(func(t *testing.T, text, principal, object string) {
		acls, err := ParseACLs([]byte(text))
		if err != nil {
			return
		}
		for _, action := range Actions() {
			if acls.AllowsAll(Named(principal), action) && !acls.Allows(Named(principal), action, Of(object)) {
				t.Errorf("%v: %s for %q on %q: AllowsAll is wrong", action, text, principal, object)
			}
		}
	})
}
