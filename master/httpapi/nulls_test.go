package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// oddJSON are values that no field, or not every field, may have.
var oddJSON = []any{nil, "", "..", "\x00\u202e", strings.Repeat("x", 64<<10), json.Number("-1"), json.Number("0.0004"), json.Number("1e308"),
	json.Number("18446744073709551616"), true, []any{}, map[string]any{}, []any{nil}}

// eachOddJSON calls visit with each member of a document, at any depth, away or of an odd value, one at a time.
func eachOddJSON(node any, visit func(what string)) {
	switch node := node.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			value := node[key]
			delete(node, key)
			visit("without " + key)
			for _, odd := range oddJSON {
				node[key] = odd
				visit("odd " + key)
			}
			node[key] = value
			eachOddJSON(value, visit)
		}
	case []any:
		for _, value := range node {
			eachOddJSON(value, visit)
		}
	}
}

// sendOddJSON sends every call of an API with each member of its JSON away or odd.
func sendOddJSON(t *testing.T, path string, empty func() proto.Message, depth int, skip string) {
	answers := map[int]int{}
	fields := empty().ProtoReflect().Descriptor().Fields()
	kind := fields.ByName("type")
	for i := range kind.Enum().Values().Len() {
		call := kind.Enum().Values().Get(i)
		member := fields.ByName(protoreflect.Name(strings.ToLower(string(call.Name()))))
		if member == nil || string(call.Name()) == skip {
			continue
		}
		e := newEdge(t)
		e.withAgent(t)
		m := empty().ProtoReflect()
		m.Set(kind, protoreflect.ValueOfEnum(call.Number()))
		fill(m.Mutable(member).Message(), depth)
		if id := fields.ByName("framework_id"); id != nil {
			fill(m.Mutable(id).Message(), 1)
		}
		raw, err := codec.Marshal(codec.JSON, m.Interface())
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(raw, &document); err != nil {
			t.Fatal(err)
		}
		eachOddJSON(document, func(what string) {
			body, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(body, []byte(`"type":"SUBSCRIBE"`)) {
				return // a stream, which this recorder cannot be
			}
			r := httptest.NewRequest("POST", path, bytes.NewReader(body))
			r.Header.Set("Content-Type", string(codec.JSON))
			status, _, text := e.serve(r)
			answers[status]++
			if status >= 500 && status != 501 {
				t.Errorf("%s %s: %d %.200s", call.Name(), what, status, text)
			}
			if err := e.core.CheckInvariants(); err != nil {
				t.Fatalf("%s %s: %v", call.Name(), what, err)
			}
		})
	}
	t.Logf("answers by status: %v", answers)
	if answers[400] == 0 {
		t.Error("no call was refused")
	}
}

func TestOperatorCallsWithANullOrOddMemberAreAnswered(t *testing.T) {
	sendOddJSON(t, "/api/v1", func() proto.Message { return new(master.Call) }, 4, "SUBSCRIBE")
}

func TestSchedulerCallsWithANullOrOddMemberAreAnswered(t *testing.T) {
	sendOddJSON(t, "/api/v1/scheduler", func() proto.Message { return new(scheduler.Call) }, 3, "SUBSCRIBE")
}
