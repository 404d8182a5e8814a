package golden

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Difference is one thing in which two answers differ.
type Difference struct {
	// Where is "status", "header NAME", "body", or the path of a JSON value.
	Where     string
	Want, Got string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s", d.Where, d.Want, d.Got)
}

// headers are those that clients act on.
var headers = []string{"Content-Type", "Allow", "Location", "Www-Authenticate", "Content-Encoding", "Message-Content-Type"}

// compare says in what got differs from the recorded want, and which of our ids stand for
// which recorded ones.
func compare(want, got Answer) ([]Difference, map[string]string) {
	if all := compareHeads(want, got); len(all) > 0 {
		return all, nil
	}
	return compareBodies(want, got)
}

func compareHeads(want, got Answer) []Difference {
	if want.Status != got.Status {
		return []Difference{{"status", fmt.Sprint(want.Status), fmt.Sprintf("%d %s", got.Status, normal(short(got.Body)))}}
	}
	var all []Difference
	for _, name := range headers {
		if w, g := normal(want.Header.Get(name)), normal(got.Header.Get(name)); w != g {
			all = append(all, Difference{"header " + name, w, g})
		}
	}
	return all
}

func compareBodies(want, got Answer) ([]Difference, map[string]string) {
	media, _, _ := strings.Cut(want.Header.Get("Content-Type"), ";")
	w, g := inflate(want), inflate(got)
	switch media {
	case "application/json", "application/x-protobuf":
		return compareDocuments(w, g)
	case "text/javascript":
		callback := func(body []byte) string { name, _, _ := strings.Cut(string(body), "("); return name }
		if callback(w) != callback(g) {
			return []Difference{{"body", callback(w), callback(g)}}, nil
		}
		strip := func(body []byte) []byte {
			return bytes.TrimSuffix(bytes.TrimPrefix(body, []byte(callback(body)+"(")), []byte(")"))
		}
		return compareDocuments(strip(w), strip(g))
	case "text/html":
		// A page of its own design; that there is one is the answer.
		if (len(w) == 0) != (len(g) == 0) {
			return []Difference{{"body", "a page", "none"}}, nil
		}
		return nil, nil
	}
	if a, b := normal(string(w)), normal(string(g)); a != b {
		return []Difference{{"body", short([]byte(a)), short([]byte(b))}}, nil
	}
	return nil, nil
}

func inflate(a Answer) []byte {
	if a.Header.Get("Content-Encoding") != "gzip" {
		return a.Body
	}
	z, err := gzip.NewReader(bytes.NewReader(a.Body))
	if err != nil {
		return []byte(err.Error())
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return []byte(err.Error())
	}
	return plain
}

func short(body []byte) string {
	const most = 240
	if len(body) > most {
		return string(body[:most]) + "..."
	}
	return string(body)
}

// compareDocuments compares two JSON documents: keys, types and texts.
func compareDocuments(want, got []byte) ([]Difference, map[string]string) {
	w, err := decode(want)
	if err != nil {
		return []Difference{{"body", "recorded body is no JSON: " + err.Error(), ""}}, nil
	}
	g, err := decode(got)
	if err != nil {
		return []Difference{{"body", "JSON", short(got)}}, nil
	}
	c := comparison{pairs: map[string]string{}}
	c.value("", w, g)
	return c.found, c.pairs
}

func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

type comparison struct {
	found []Difference
	// pairs are ids that stand in the same place.
	pairs map[string]string
}

func (c *comparison) add(where, want, got string) {
	d := Difference{where, want, got}
	if !slices.Contains(c.found, d) {
		c.found = append(c.found, d)
	}
}

func (c *comparison) value(path string, want, got any) {
	if kind(want) != kind(got) {
		c.add(path, kind(want), kind(got))
		return
	}
	switch w := want.(type) {
	case map[string]any:
		c.object(path, w, got.(map[string]any))
	case []any:
		c.array(path, w, got.([]any))
	case string:
		if ours := got.(string); idPattern.FindString(w) == w && idPattern.FindString(ours) == ours {
			c.pairs[w] = ours
		}
		if a, b := normalAt(path, w), normalAt(path, got.(string)); a != b {
			c.add(path, fmt.Sprintf("%q", short([]byte(a))), fmt.Sprintf("%q", short([]byte(b))))
		}
	case bool:
		if w != got.(bool) {
			c.add(path, fmt.Sprint(w), fmt.Sprint(got))
		}
	}
}

// kind names the type of a value; whole and fractional numbers differ, as they do on the wire.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case string:
		return "text"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number with fraction"
		}
		return "whole number"
	case []any:
		return "array"
	}
	return "object"
}

func (c *comparison) object(path string, want, got map[string]any) {
	if isData(path) {
		return
	}
	want, got = named(path, want), named(path, got)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		at := path + "." + key
		if g, ok := got[key]; ok {
			c.value(at, want[key], g)
		} else if !optional(at) {
			c.add(at, kind(want[key]), "nothing")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok && !optional(path+"."+key) {
			c.add(path+"."+key, "nothing", kind(got[key]))
		}
	}
}

// named is an object under the names of its keys.
func named(path string, object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for key, value := range object {
		out[nameOf(path, key)] = value
	}
	return out
}

// array compares elements that are of the same thing, in whatever order they come.
func (c *comparison) array(path string, want, got []any) {
	if isData(path) {
		return
	}
	if onOffer(path) {
		if len(want) == 0 || len(got) == 0 {
			return
		}
		if strings.HasSuffix(path, ".offers") {
			want, got = []any{merge(want)}, []any{merge(got)}
		}
	}
	left := slices.Clone(got)
	for i, w := range want {
		j := slices.IndexFunc(left, func(g any) bool { return identity(g) == identity(w) })
		if identity(w) == "" {
			j = min(i, len(got)-1)
			if onOffer(path) {
				continue
			}
			if j >= 0 {
				c.value(path+"[]", w, got[j])
				continue
			}
		}
		if j < 0 {
			if !onOffer(path) {
				c.add(path+"[]", label(w), "nothing")
			}
			continue
		}
		c.value(path+"[]", w, left[j])
		left = slices.Delete(left, j, j+1)
	}
	for _, g := range left {
		if identity(g) != "" && !onOffer(path) {
			c.add(path+"[]", "nothing", label(g))
		}
	}
	if len(got) > 0 && len(want) == 0 && identity(got[0]) == "" {
		c.add(path, "an empty array", label(got[0]))
	}
}

func label(v any) string { return cmp.Or(identity(v), kind(v)) }

// identities are the members by which elements of arrays are told apart, best first.
var identities = []string{"task_id", "operation_id", "latest_status", "id", "executor_id", "framework_info", "executor_info", "agent_info",
	"container_id", "name", "key", "path", "state", "type", "role"}

// identity names what an element is about; empty when it has no name.
func identity(v any) string {
	switch v := v.(type) {
	case string:
		return normal(v)
	case map[string]any:
		for _, key := range identities {
			member, ok := v[key]
			if !ok {
				continue
			}
			if inner, ok := member.(map[string]any); ok {
				member = cmp.Or(inner["value"], inner["name"], any(identity(inner)))
			}
			text, ok := member.(string)
			if !ok {
				continue
			}
			return kindOf(v, key) + normal(text) + resourceIdentity(v)
		}
	}
	return ""
}

// kindOf tells statuses, which are many of one task, from what there is one of.
func kindOf(v map[string]any, key string) string {
	state, ok := v["state"].(string)
	if _, status := v["timestamp"]; ok && status && key != "state" {
		return state + " of "
	}
	return ""
}

// resourceIdentity tells resources of one name apart.
func resourceIdentity(v map[string]any) string {
	out := ""
	for _, key := range []string{"reservations", "reservation", "disk", "allocation_info"} {
		if member, ok := v[key]; ok {
			text, _ := json.Marshal(member)
			out += " " + key + normal(string(text))
		}
	}
	return out
}
