package resources

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
)

// maxText bounds what Parse looks at.
const maxText = 4 << 20

// Parse reads Mesos's text form (cpus:4;mem(role):1024;ports:[31000-32000];zones:{a,b}) or a
// JSON array of resources. What names no role belongs to defaultRole.
func Parse(text, defaultRole string) (Resources, error) {
	if len(text) > maxText {
		return Resources{}, fmt.Errorf("parse resources: the text is longer than %d bytes", maxText)
	}
	wire, err := parseWire(strings.TrimSpace(text))
	if err != nil {
		return Resources{}, err
	}
	if defaultRole != "" && defaultRole != "*" {
		for _, one := range wire {
			if len(one.Reservations) == 0 && one.GetRole() == "*" {
				role := defaultRole
				one.Role = &role
			}
		}
	}
	return FromProto(wire)
}

func parseWire(text string) ([]*mesos.Resource, error) {
	if strings.HasPrefix(text, "[") {
		return parseJSON(text)
	}
	var wire []*mesos.Resource
	for token := range strings.SplitSeq(text, ";") {
		if token = strings.TrimSpace(token); token == "" {
			continue
		}
		name, value, ok := strings.Cut(token, ":")
		if !ok || strings.Contains(value, ":") {
			return nil, fmt.Errorf("Bad value for resources, missing or extra ':' in %s", token)
		}
		one := &mesos.Resource{}
		name = strings.TrimSpace(name)
		if open := strings.IndexByte(name, '('); open >= 0 {
			if !strings.HasSuffix(name, ")") || strings.ContainsAny(name[open+1:len(name)-1], "()") {
				return nil, fmt.Errorf("Bad value for resources, mismatched parentheses in %s", token)
			}
			role := strings.TrimSpace(name[open+1 : len(name)-1])
			if err := CheckRole(role); err != nil {
				return nil, err
			}
			one.Role, name = &role, strings.TrimSpace(name[:open])
		}
		one.Name = &name
		if err := parseResourceValue(one, strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("Failed to parse resource %s text %s: %w", name, value, err)
		}
		wire = append(wire, one)
	}
	return wire, nil
}

func parseJSON(text string) ([]*mesos.Resource, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		return nil, fmt.Errorf("Error parsing JSON resources: %w", err)
	}
	wire := make([]*mesos.Resource, 0, len(parts))
	for _, part := range parts {
		one := &mesos.Resource{}
		if err := codec.Unmarshal(codec.JSON, part, one); err != nil {
			return nil, fmt.Errorf("Error parsing JSON resources: %w", err)
		}
		wire = append(wire, one)
	}
	return wire, nil
}

func parseResourceValue(one *mesos.Resource, text string) error {
	value, err := parseValue(text)
	if err != nil {
		return err
	}
	one.Type, one.Scalar, one.Ranges, one.Set = value.Type, value.Scalar, value.Ranges, value.Set
	if value.GetType() == mesos.Value_TEXT {
		return fmt.Errorf("Bad type for resource value %s", text)
	}
	return nil
}

// parseValue reads a scalar, [a-b, c-d], {a, b}, or else a text.
func parseValue(text string) (*mesos.Value, error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("Expecting non-empty string")
	case text[0] == '[':
		ranges, err := ParseRanges(text)
		if err != nil {
			return nil, err
		}
		wire := item{kind: rangesKind, ranges: ranges}
		return &mesos.Value{Type: mesos.Value_RANGES.Enum(), Ranges: wire.wire().Ranges}, nil
	case text[0] == '{':
		set, err := parseSet(text)
		return &mesos.Value{Type: mesos.Value_SET.Enum(), Set: &mesos.Value_Set{Item: set}}, err
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil && !strings.ContainsAny(text, "xXpP_") {
		if _, err := Milli(number); err != nil && number != number {
			return nil, err
		}
		return &mesos.Value{Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &number}}, nil
	}
	return &mesos.Value{Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &text}}, nil
}

// ParseRanges reads [1-5, 7-7].
func ParseRanges(text string) (Ranges, error) {
	inner, ok := strings.CutPrefix(strings.TrimSpace(text), "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !ok || !closed {
		return nil, fmt.Errorf("Expecting '[' and ']' around ranges in %q", text)
	}
	var all []Range
	for part := range strings.SplitSeq(inner, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		low, high, dash := strings.Cut(part, "-")
		begin, err := strconv.ParseUint(strings.TrimSpace(low), 10, 64)
		end := begin
		if err == nil && dash {
			end, err = strconv.ParseUint(strings.TrimSpace(high), 10, 64)
		}
		if err != nil || !dash || begin > end {
			return nil, fmt.Errorf("Expecting ranges as [begin-end, ...], but found %q", part)
		}
		all = append(all, Range{begin, end})
	}
	return NewRanges(all...), nil
}

func parseSet(text string) ([]string, error) {
	inner, closed := strings.CutSuffix(text[1:], "}")
	if !closed || strings.ContainsAny(inner, "{}") {
		return nil, fmt.Errorf("Expecting '{' and '}' around a set in %q", text)
	}
	var set []string
	for part := range strings.SplitSeq(inner, ",") {
		if part = strings.TrimSpace(part); part != "" {
			set = append(set, part)
		}
	}
	return set, nil
}

// ParseAttributes reads an agent's attributes: rack:r1;zone:z1;level:10;ports:[1-5].
func ParseAttributes(text string) ([]*mesos.Attribute, error) {
	var all []*mesos.Attribute
	for token := range strings.SplitSeq(text, ";") {
		if token = strings.TrimSpace(token); token == "" {
			continue
		}
		name, rest, ok := strings.Cut(token, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("Invalid attribute key:value pair '%s'", token)
		}
		value, err := parseValue(strings.TrimSpace(rest))
		if err != nil {
			return nil, fmt.Errorf("Invalid attribute key:value pair '%s': %w", token, err)
		}
		all = append(all, &mesos.Attribute{Name: &name, Type: value.Type, Scalar: value.Scalar,
			Ranges: value.Ranges, Set: value.Set, Text: value.Text})
	}
	return all, nil
}
