// Package flags reads options as Mesos's programs do: --name=value, --name value, --name and
// --no-name for booleans, NAME in the environment behind a prefix, and file:// in place of a
// value.
//
// It owns the spelling of options, durations and sizes. It promises that the command line wins over
// the environment, that an unknown or bad option is an error of one line that names it and the
// nearest known one, and that Values prints options as Mesos's /flags does. It refuses global
// state and knows no option itself.
package flags

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Value is where an option goes to. Set replaces it, String prints it in a form that Set takes.
type Value interface {
	Set(string) error
	String() string
}

// Flag is one option.
type Flag struct {
	Name  string
	Help  string
	Value Value
	// Bool flags need no value, and have --no-name.
	Bool bool
	// Given says that the command line or the environment had it.
	Given bool
	// Secret values are not shown.
	Secret bool
	// Idle options have no effect; to give one that is Refused is an error.
	Idle, Refused bool
}

// Set is a program's options.
type Set struct {
	prefix  string
	flags   map[string]*Flag
	aliases map[string]string
	// variables are further names in the environment, with the option that each sets.
	variables map[string]string
}

// New makes an empty set; prefix stands before names in the environment ("MESOS_").
func New(prefix string) *Set {
	return &Set{prefix: prefix, flags: map[string]*Flag{}, aliases: map[string]string{}, variables: map[string]string{}}
}

// Add defines an option. A name that exists already is a defect of the program.
func (s *Set) Add(name string, value Value, help string) *Flag {
	if s.flags[name] != nil {
		panic("flags: --" + name + " is defined twice")
	}
	f := &Flag{Name: name, Help: help, Value: value}
	_, f.Bool = value.(*boolValue)
	s.flags[name] = f
	return f
}

// Alias makes an older name stand for a newer one.
func (s *Set) Alias(old, name string) { s.aliases[old] = name }

// Environment makes a variable set an option too: its name in capitals behind another prefix.
func (s *Set) Environment(prefix, name string) {
	s.variables[prefix+strings.ToUpper(name)] = name
}

// variable finds the option that a variable of the environment sets, or gives nil.
func (s *Set) variable(key string) *Flag {
	if name, ok := s.variables[key]; ok {
		return s.Lookup(name)
	}
	name, ours := strings.CutPrefix(key, s.prefix)
	if !ours || s.prefix == "" {
		return nil
	}
	return s.Lookup(strings.ToLower(name))
}

// Lookup finds an option by either name, or gives nil.
func (s *Set) Lookup(name string) *Flag {
	if to, ok := s.aliases[name]; ok {
		name = to
	}
	return s.flags[name]
}

// All gives every option by name.
func (s *Set) All() []*Flag {
	all := make([]*Flag, 0, len(s.flags))
	for _, f := range s.flags {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *Flag) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Values gives the options that have a value, as text, secrets masked.
func (s *Set) Values() map[string]string {
	values := map[string]string{}
	for _, f := range s.flags {
		text := f.Value.String()
		switch {
		case text == "" && !f.Given:
		case f.Secret:
			values[f.Name] = "****"
		default:
			values[f.Name] = text
		}
	}
	return values
}

// Parse reads the environment (as os.Environ gives it; names that are not known are left to
// others) and then args, and returns the arguments that are no options. "--" ends the options.
func (s *Set) Parse(args, environ []string) (rest []string, err error) {
	for _, entry := range environ {
		key, text, _ := strings.Cut(entry, "=")
		f := s.variable(key)
		if f == nil {
			continue
		}
		if err := f.set(text); err != nil {
			return nil, fmt.Errorf("environment variable %s: %w", key, err)
		}
	}
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(rest, args[i+1:]...), nil
		}
		if !strings.HasPrefix(args[i], "--") {
			rest = append(rest, args[i])
			continue
		}
		used, err := s.argument(args[i:])
		if err != nil {
			return nil, err
		}
		i += used - 1
	}
	return rest, nil
}

// argument reads the option that args begin with, and says how many of them it took.
func (s *Set) argument(args []string) (used int, err error) {
	name, text, inline := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
	used = 1
	f := s.Lookup(name)
	positive, negated := strings.CutPrefix(name, "no-")
	switch {
	case f == nil && negated && s.Lookup(positive) != nil && s.Lookup(positive).Bool:
		if inline {
			return 0, fmt.Errorf("flag --%s takes no value", name)
		}
		f, text = s.Lookup(positive), "false"
	case f == nil:
		return 0, s.unknown(name)
	case inline:
	case f.Bool:
		text = "true"
	case len(args) > 1:
		text, used = args[1], 2
	default:
		return 0, fmt.Errorf("flag --%s needs a value: --%s=VALUE", name, name)
	}
	if err := f.set(text); err != nil {
		return 0, fmt.Errorf("flag --%s: %w", f.Name, err)
	}
	return used, nil
}

func (f *Flag) set(text string) error {
	if path, ok := strings.CutPrefix(text, "file://"); ok {
		if _, raw := f.Value.(*pathValue); !raw {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = strings.TrimSuffix(string(content), "\n")
		}
	}
	if err := f.Value.Set(text); err != nil {
		return err
	}
	f.Given = true
	return nil
}

func (s *Set) unknown(name string) error {
	best, distance := "", len(name)/3+2
	for _, f := range s.All() {
		if d := edits(name, f.Name); d < distance {
			best, distance = f.Name, d
		}
	}
	if best == "" {
		return fmt.Errorf("unknown flag --%s; see --help", name)
	}
	return fmt.Errorf("unknown flag --%s; did you mean --%s?", name, best)
}

// edits is the number of letters to change, insert or remove.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Usage is the text of --help: one paragraph an option.
func (s *Set) Usage() string {
	var b strings.Builder
	var idle, refused []*Flag
	for _, f := range s.All() {
		switch {
		case f.Refused:
			refused = append(refused, f)
			continue
		case f.Idle:
			idle = append(idle, f)
			continue
		}
		form := "--" + f.Name + "=VALUE"
		if f.Bool {
			form = "--[no-]" + f.Name
		}
		fmt.Fprintf(&b, "  %s\n        %s", form, strings.ReplaceAll(f.Help, "\n", "\n        "))
		if text := f.Value.String(); text != "" && !f.Secret {
			fmt.Fprintf(&b, " (default: %s)", text)
		}
		b.WriteByte('\n')
	}
	usageFixed(&b, "Accepted without effect:", idle)
	usageFixed(&b, "Refused:", refused)
	return b.String()
}

type (
	stringValue   string
	pathValue     string
	boolValue     bool
	intValue      int
	floatValue    float64
	durationValue time.Duration
	bytesValue    int64
	listValue     []string
)

// String, Path (file:// is kept), Bool, Int, Float, Duration, Bytes and List (comma-separated)
// define an option that is kept in to, whose present value is the default.
func (s *Set) String(to *string, name, help string) *Flag {
	return s.Add(name, (*stringValue)(to), help)
}

// Path defines an option whose value may begin with file://, which is stripped, not read.
func (s *Set) Path(to *string, name, help string) *Flag { return s.Add(name, (*pathValue)(to), help) }

// Bool defines a switch.
func (s *Set) Bool(to *bool, name, help string) *Flag { return s.Add(name, (*boolValue)(to), help) }

// Int defines a whole number.
func (s *Set) Int(to *int, name, help string) *Flag { return s.Add(name, (*intValue)(to), help) }

// Float defines a number.
func (s *Set) Float(to *float64, name, help string) *Flag {
	return s.Add(name, (*floatValue)(to), help)
}

// Duration defines a time span such as 15secs.
func (s *Set) Duration(to *time.Duration, name, help string) *Flag {
	return s.Add(name, (*durationValue)(to), help)
}

// Bytes defines a size such as 64MB, kept in bytes.
func (s *Set) Bytes(to *int64, name, help string) *Flag { return s.Add(name, (*bytesValue)(to), help) }

// List defines a comma-separated list.
func (s *Set) List(to *[]string, name, help string) *Flag { return s.Add(name, (*listValue)(to), help) }

func (v *stringValue) Set(text string) error { *v = stringValue(text); return nil }
func (v *stringValue) String() string        { return string(*v) }

func (v *pathValue) Set(text string) error {
	*v = pathValue(strings.TrimPrefix(text, "file://"))
	return nil
}
func (v *pathValue) String() string { return string(*v) }

func (v *boolValue) Set(text string) error {
	switch text {
	case "true", "1":
		*v = true
	case "false", "0":
		*v = false
	default:
		return fmt.Errorf("%q is neither true nor false", text)
	}
	return nil
}
func (v *boolValue) String() string { return strconv.FormatBool(bool(*v)) }

func (v *intValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	*v = intValue(n)
	return nil
}
func (v *intValue) String() string { return strconv.Itoa(int(*v)) }

func (v *floatValue) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", text)
	}
	*v = floatValue(n)
	return nil
}
func (v *floatValue) String() string { return strconv.FormatFloat(float64(*v), 'g', -1, 64) }

func (v *durationValue) Set(text string) error {
	d, err := ParseDuration(text)
	*v = durationValue(d)
	return err
}
func (v *durationValue) String() string { return FormatDuration(time.Duration(*v)) }

func (v *bytesValue) Set(text string) error {
	n, err := ParseBytes(text)
	*v = bytesValue(n)
	return err
}
func (v *bytesValue) String() string { return FormatBytes(int64(*v)) }

func (v *listValue) Set(text string) error {
	*v = nil
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*v = append(*v, part)
		}
	}
	return nil
}
func (v *listValue) String() string { return strings.Join(*v, ",") }
