package agent

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
)

// parseResources reads Mesos's notation of resources, "cpus:2;mem(role):512;ports:[1-5]",
// or the JSON array of Resource messages. role is that of resources that name none.
func parseResources(text, role string) ([]*mesos.Resource, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		return parseJSON(text)
	}
	var out []*mesos.Resource
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		r, err := parseResource(part, role)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func parseJSON(text string) ([]*mesos.Resource, error) {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	var out []*mesos.Resource
	for _, raw := range list {
		r := &mesos.Resource{}
		if err := codec.Unmarshal(codec.JSON, raw, r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func parseResource(part, role string) (*mesos.Resource, error) {
	name, value, ok := strings.Cut(part, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if before, inner, has := strings.Cut(name, "("); has {
		reserved, closed := strings.CutSuffix(inner, ")")
		if !closed {
			return nil, fmt.Errorf("%q: a bracket is not closed", part)
		}
		name, role = strings.TrimSpace(before), strings.TrimSpace(reserved)
	}
	if !ok || name == "" || value == "" {
		return nil, fmt.Errorf("%q is not name:value", part)
	}
	r := &mesos.Resource{Name: &name}
	switch value[0] {
	case '[':
		ranges, err := parseRanges(value)
		if err != nil {
			return nil, err
		}
		r.Type, r.Ranges = mesos.Value_RANGES.Enum(), ranges
	case '{':
		inner, closed := strings.CutSuffix(value[1:], "}")
		if !closed {
			return nil, fmt.Errorf("%q: a brace is not closed", part)
		}
		r.Type, r.Set = mesos.Value_SET.Enum(), &mesos.Value_Set{Item: strings.Split(inner, ",")}
	default:
		number, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(number) || math.IsInf(number, 0) || number < 0 {
			return nil, fmt.Errorf("%q is not a quantity", part)
		}
		number = math.Round(number*1000) / 1000
		r.Type, r.Scalar = mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: &number}
	}
	if role != "" && role != "*" {
		r.Reservations = []*mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &role,
		}}
	}
	return r, nil
}
