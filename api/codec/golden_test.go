package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

const golden = "../../../shared/golden"

// TestRecordedAnswersAreWrittenAgain reads what a real Mesos wrote, writes it, and compares the
// values: members may stand in another order, as our .proto files order fields by number.
func TestRecordedAnswersAreWrittenAgain(t *testing.T) {
	if _, err := os.Stat(golden); err != nil {
		t.Skip("no recorded answers: shared/golden is not beside the repository")
	}
	count := 0
	_ = filepath.WalkDir(golden, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		for _, r := range recordedIn(t, path) {
			count++
			r.check(t, path)
		}
		return nil
	})
	if count < 50 {
		t.Errorf("only %d records found in %s", count, golden)
	}
	t.Logf("%d records", count)
}

type recorded struct {
	body []byte
	msg  proto.Message
}

func recordedIn(t *testing.T, path string) []recorded {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Base(filepath.Dir(path))
	switch {
	case dir == "master-v1" || dir == "agent-v1":
		_, answer, _ := bytes.Cut(data, []byte("<<< RESPONSE\n"))
		head, body, _ := bytes.Cut(answer, []byte("\n\n"))
		body = bytes.TrimSuffix(body, []byte("\n"))
		if !bytes.Contains(head, []byte("200 OK")) || !bytes.HasPrefix(body, []byte("{")) {
			return nil
		}
		if dir == "agent-v1" {
			return []recorded{{body, &agent.Response{}}}
		}
		return []recorded{{body, &master.Response{}}}
	case strings.HasSuffix(path, ".log"):
		var found []recorded
		for line := range bytes.Lines(data) {
			_, body, ok := bytes.Cut(bytes.TrimSpace(line), []byte("bytes): {"))
			if !ok {
				continue
			}
			r := recorded{body: append([]byte{'{'}, body...)}
			switch dir {
			case "scheduler-api":
				r.msg = &scheduler.Event{}
			case "executor-api":
				r.msg = &executor.Event{}
			case "operator-subscribe":
				r.msg = &master.Event{}
			default:
				continue
			}
			if json.Valid(r.body) {
				found = append(found, r)
			}
		}
		return found
	}
	return nil
}

func (r recorded) check(t *testing.T, path string) {
	if err := UnmarshalJSON(r.body, r.msg); err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	got, err := AppendJSON(nil, r.msg)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	var gotValue, wantValue any
	if err := errors.Join(json.Unmarshal(got, &gotValue), json.Unmarshal(r.body, &wantValue)); err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if diff := cmp.Diff(wantValue, gotValue); diff != "" {
		t.Errorf("%s: (-recorded +ours)\n%.600s", path, diff)
	}
}
