package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// ParseACLs reads Mesos's ACL document; without "permissive" in it, what no rule matches is allowed.
// Mesos ignores what it does not know; here an unknown or repeated member is an error, since a
// misspelled rule protects nothing.
func ParseACLs(text []byte) (*ACLs, error) { return ParseACLsOver(text, true) }

// ParseACLsOver reads a document that says nothing of "permissive" as if it said that.
func ParseACLsOver(text []byte, permissive bool) (*ACLs, error) {
	acls := &ACLs{permissive: permissive}
	decoder := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	err := members(decoder, func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q stands there twice", key)
		}
		seen[key] = true
		if key == "permissive" {
			return decoder.Decode(&acls.permissive)
		}
		action, ok := byKey(key)
		if !ok {
			return fmt.Errorf("unknown key %q", key)
		}
		var entries []json.RawMessage
		if err := decoder.Decode(&entries); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		for i, entry := range entries {
			r, err := parseRule(action, entry)
			if err != nil {
				return fmt.Errorf("%s[%d]: %w", key, i, err)
			}
			acls.rules[action] = append(acls.rules[action], r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("acls: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("acls: text after the document")
	}
	return acls, nil
}

// members calls each for every key of the object that follows; each reads the value.
func members(decoder *json.Decoder, each func(key string) error) error {
	open, err := decoder.Token()
	if err != nil {
		return err
	}
	if open != json.Delim('{') {
		return fmt.Errorf("an object is expected, not %v", open)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		if err := each(key.(string)); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

func parseRule(action Action, text []byte) (rule, error) {
	var r rule
	object := specs[action].object
	decoder := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	err := members(decoder, func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("%q stands there twice", key)
		}
		seen[key] = true
		switch key {
		case "principals":
			r.subjects, err = parseEntity(decoder)
		case object:
			r.objects, err = parseEntity(decoder)
		default:
			err = fmt.Errorf("not a key of this rule; it has principals and %s", object)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return r, err
	case !seen["principals"]:
		return r, fmt.Errorf("principals is missing")
	case !seen[object]:
		return r, fmt.Errorf("%s is missing", object)
	}
	if action == GetEndpoint {
		for i, path := range r.objects.values {
			r.objects.values[i] = Endpoint(path)
		}
	}
	return r, checkObjects(action, r.objects)
}

// checkObjects refuses rules that could never match.
func checkObjects(action Action, objects entity) error {
	if objects.kind != someOf {
		return nil
	}
	if specs[action].whole {
		return fmt.Errorf("%s must be {\"type\":\"ANY\"} or {\"type\":\"NONE\"}", specs[action].object)
	}
	for _, value := range objects.values {
		switch {
		case action == GetEndpoint && !endpoints[value]:
			return fmt.Errorf("path %q is not an authorizable path", value)
		case specs[action].roles && strings.Contains(strings.TrimSuffix(value, below), "%"):
			return fmt.Errorf("role %q: %% stands only at the end, as in a/%%", value)
		}
	}
	return nil
}

func parseEntity(decoder *json.Decoder) (entity, error) {
	var raw json.RawMessage
	if err := decoder.Decode(&raw); err != nil {
		return entity{}, err
	}
	var text struct {
		Type   *string
		Values []string
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&text); err != nil {
		return entity{}, err
	}
	e := entity{values: text.Values}
	switch {
	case text.Type == nil, *text.Type == "SOME":
	case *text.Type == "ANY":
		e.kind = anyOf
	case *text.Type == "NONE":
		e.kind = noneOf
	default:
		return e, fmt.Errorf("type %q is none of SOME, ANY, NONE", *text.Type)
	}
	return e, nil
}

// Endpoint is the name of a path in get_endpoints: without the process's name before it.
func Endpoint(path string) string {
	if rest, ok := strings.CutPrefix(path, "/master/"); ok {
		return "/" + rest
	}
	if at := strings.Index(path, ")/"); strings.HasPrefix(path, "/slave(") && at > 0 {
		return path[at+1:]
	}
	return path
}
