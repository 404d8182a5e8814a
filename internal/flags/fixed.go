package flags

import (
	"fmt"
	"slices"
	"strings"
)

// fixedValue is that of an option which changes nothing.
type fixedValue struct {
	text, why string
	values    []string // those that are accepted; all, where there are none
	refused   bool
}

func (v *fixedValue) Set(text string) error {
	switch {
	case v.refused:
		return fmt.Errorf("not supported: %s", v.why)
	case len(v.values) > 0 && !slices.Contains(v.values, text):
		return fmt.Errorf("%q is not supported, %s is: %s", text, strings.Join(v.values, " or "), v.why)
	}
	v.text = text
	return nil
}

func (v *fixedValue) String() string { return v.text }

// Fixed defines an option of an older program whose wish holds anyway, or means nothing here: any of values
// is accepted (all, where none is named) and has no effect. Why says so, in a few words.
func (s *Set) Fixed(name, why string, values ...string) {
	s.Add(name, &fixedValue{why: why, values: values}, why).Idle = true
}

// FixedBool is Fixed for a switch.
func (s *Set) FixedBool(name, why string, values ...string) {
	s.Fixed(name, why, values...)
	s.flags[name].Bool = true
}

// Refused defines an option of an older program whose wish cannot be kept; to give it is an error that says why.
func (s *Set) Refused(name, why string) {
	s.Add(name, &fixedValue{why: why, refused: true}, why).Refused = true
}

// Idle are the options that were given and have no effect.
func (s *Set) Idle() (out []*Flag) {
	for _, f := range s.All() {
		if f.Idle && f.Given {
			out = append(out, f)
		}
	}
	return out
}

// usageFixed is the end of the text of --help: what older programs had.
func usageFixed(b *strings.Builder, title string, list []*Flag) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, f := range list {
		fmt.Fprintf(b, "  --%s: %s\n", f.Name, f.Help)
	}
}
