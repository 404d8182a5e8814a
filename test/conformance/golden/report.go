package golden

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Report collects what was compared.
type Report struct {
	// Allowed are the differences that are meant.
	Allowed []Allowed
	// Trace is told of every unit at once; nil: nobody.
	Trace func(unit string, differences []Difference)

	mu    sync.Mutex
	units map[string][]Difference
}

// Add tells the outcome of one unit: an exchange, a call or an event. No difference is a match.
func (r *Report) Add(unit string, differences []Difference) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.units == nil {
		r.units = map[string][]Difference{}
	}
	r.units[unit] = append(r.units[unit], differences...)
	if r.Trace != nil {
		r.Trace(unit, differences)
	}
}

// Allowed is a difference that is meant, or not built yet, with its reason.
type Allowed struct {
	Unit, Where string // patterns of path.Match, "**" for any text
	Reason      string
}

// ReadAllowed reads lines of "unit | where | reason".
func ReadAllowed(file string) ([]Allowed, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []Allowed
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " | ", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s: no unit, place and reason in %q", file, line)
		}
		all = append(all, Allowed{strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2])})
	}
	return all, nil
}

func (a Allowed) covers(unit string, d Difference) bool {
	return matches(a.Unit, unit) && (matches(a.Where, d.Where) || matches(a.Where, d.String()))
}

// matches is a glob whose * crosses slashes.
func matches(pattern, text string) bool {
	pieces := strings.Split(pattern, "*")
	if !strings.HasPrefix(text, pieces[0]) {
		return false
	}
	text = text[len(pieces[0]):]
	for i, piece := range pieces[1:] {
		if i == len(pieces)-2 {
			return strings.HasSuffix(text, piece)
		}
		j := strings.Index(text, piece)
		if j < 0 {
			return false
		}
		text = text[j+len(piece):]
	}
	return text == "" || len(pieces) > 1
}

// Allows says that a difference is explained.
func (r *Report) Allows(unit string, d Difference) bool {
	return slices.ContainsFunc(r.Allowed, func(a Allowed) bool { return a.covers(unit, d) })
}

// Count is the outcome of one folder.
type Count struct{ Match, Explained, Different int }

// Total is the number of units.
func (c Count) Total() int { return c.Match + c.Explained + c.Different }

// Counts gives the outcome by folder, and how often each entry of the list was used.
func (r *Report) Counts() (map[string]Count, []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts, used := map[string]Count{}, make([]int, len(r.Allowed))
	for unit, differences := range r.units {
		name, _, _ := strings.Cut(unit, "#")
		folder := path.Dir(name)
		c := counts[folder]
		switch {
		case len(differences) == 0:
			c.Match++
		case explained(unit, differences, r.Allowed, used):
			c.Explained++
		default:
			c.Different++
		}
		counts[folder] = c
	}
	return counts, used
}

func explained(unit string, differences []Difference, allowed []Allowed, used []int) bool {
	all := true
	for _, d := range differences {
		i := slices.IndexFunc(allowed, func(a Allowed) bool { return a.covers(unit, d) })
		if i < 0 {
			all = false
			continue
		}
		used[i]++
	}
	return all
}

// Write prints the counts, and each difference that nobody explains once.
func (r *Report) Write(w io.Writer) {
	counts, _ := r.Counts()
	var sum Count
	for _, folder := range slices.Sorted(maps.Keys(counts)) {
		c := counts[folder]
		sum = Count{sum.Match + c.Match, sum.Explained + c.Explained, sum.Different + c.Different}
		fmt.Fprintf(w, "%-34s %4d of %4d match, %3d explained, %3d differ\n", folder, c.Match, c.Total(), c.Explained, c.Different)
	}
	fmt.Fprintf(w, "%-34s %4d of %4d match (%.1f %%), %3d explained, %3d differ\n", "all", sum.Match, sum.Total(),
		100*float64(sum.Match)/float64(max(1, sum.Total())), sum.Explained, sum.Different)
	r.mu.Lock()
	defer r.mu.Unlock()
	units := map[string][]string{}
	for unit, differences := range r.units {
		for _, d := range differences {
			if !r.Allows(unit, d) {
				units[d.String()] = append(units[d.String()], unit)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(units)) {
		list := slices.Sorted(slices.Values(units[text]))
		fmt.Fprintf(w, "- %s\n    in %s", text, list[0])
		if len(list) > 1 {
			fmt.Fprintf(w, " and %d more", len(list)-1)
		}
		fmt.Fprintln(w)
	}
}

// ReadRatchet reads lines of "folder matches".
func ReadRatchet(file string) (map[string]int, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	least := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		folder, number, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(folder, "#") {
			continue
		}
		if least[folder], err = strconv.Atoi(strings.TrimSpace(number)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return least, nil
}
