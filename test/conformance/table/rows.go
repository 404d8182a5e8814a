package table

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Row is one thing of the API.
type Row struct {
	Section string
	// Kind and Name are what exceptions name: "call scheduler ACCEPT", "field mesos.v1.Offer.hostname".
	Kind, Name string
	// Done is the proof; empty when there is none.
	Done string
	// Short is shown for the name; empty: the name.
	Short string
	// State and Reason are what the program itself says of a row that is not done; empty: nothing.
	State, Reason string
}

// Exception argues rows that are not done.
type Exception struct {
	State, Pattern, Reason string
	used                   bool
}

// States of rows that are not done.
var states = []string{"carried", "differs", "not built"}

// ReadExceptions reads lines of "state | kind name | reason"; a name may end in *.
func ReadExceptions(file string) ([]*Exception, error) {
	var list []*Exception
	for i, line := range Lines(file) {
		parts := strings.Split(line, " | ")
		if len(parts) != 3 || !slices.Contains(states, parts[0]) {
			return nil, fmt.Errorf("%s: entry %d: want \"state | kind name | reason\", state one of %q; got %q", file, i+1, states, line)
		}
		list = append(list, &Exception{State: parts[0], Pattern: parts[1], Reason: parts[2]})
	}
	return list, nil
}

// Lines are those of a file that are neither empty nor a comment.
func Lines(file string) (lines []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

func (e *Exception) covers(r Row) bool {
	name := r.Kind + " " + r.Name
	if start, some := strings.CutSuffix(e.Pattern, "*"); some {
		return strings.HasPrefix(name, start)
	}
	return name == e.Pattern
}

// Judge gives the table, and what is neither done nor argued, or argued for nothing.
func Judge(rows []Row, exceptions []*Exception) (text string, problems []string) {
	p := page{counts: map[string]int{}, fields: map[string][]string{}}
	for _, r := range rows {
		state, why := verdict(r, exceptions)
		if state == "" {
			problems = append(problems, fmt.Sprintf("%s %s is neither done nor argued in testdata/exceptions.txt", r.Kind, r.Name))
			continue
		}
		p.add(r, state, why)
	}
	p.endMessage()
	for _, e := range exceptions {
		if !e.used {
			problems = append(problems, fmt.Sprintf("exception %q is needed by no row: strike it", e.Pattern))
		}
	}
	var sums []string
	for _, state := range append([]string{"done"}, states...) {
		sums = append(sums, fmt.Sprintf("%d %s", p.counts[state], state))
	}
	return strings.Replace(preface, "SUMS", strings.Join(sums, ", "), 1) + p.out.String(), problems
}

// verdict is a row's state with its proof or reason; no state: neither. An exception that names the row holds against the proof:
// code that refuses something names it too.
func verdict(r Row, exceptions []*Exception) (state, why string) {
	for _, e := range exceptions {
		if e.covers(r) && (r.Done == "" || !strings.HasSuffix(e.Pattern, "*")) {
			e.used = true
			return e.State, e.Reason
		}
	}
	if r.Done != "" {
		return "done", r.Done
	}
	return r.State, r.Reason
}

// page is the table as it is written. The fields of a message share a line.
type page struct {
	out              strings.Builder
	counts           map[string]int
	section, message string
	fields           map[string][]string // of message, by state and reason
}

func (p *page) add(r Row, state, why string) {
	p.counts[state]++
	if r.Section != p.section {
		p.endMessage()
		p.section = r.Section
		head := "| | state | proof or reason |\n|---|---|---|\n"
		if r.Kind == "field" {
			head = "| message | fields |\n|---|---|\n"
		}
		fmt.Fprintf(&p.out, "\n## %s\n\n%s", p.section, head)
	}
	switch {
	case r.Kind == "field":
		p.addField(r, state, why)
	case r.Short != "":
		fmt.Fprintf(&p.out, "| `%s` | %s | %s |\n", r.Short, state, why)
	default:
		fmt.Fprintf(&p.out, "| `%s` | %s | %s |\n", r.Name, state, why)
	}
}

func (p *page) addField(r Row, state, why string) {
	if owner := strings.TrimSuffix(r.Name, "."+r.Short); owner != p.message {
		p.endMessage()
		p.message = owner
	}
	if state != "done" {
		state += ": " + why
	}
	p.fields[state] = append(p.fields[state], r.Short)
}

func (p *page) endMessage() {
	if p.message != "" {
		fmt.Fprintf(&p.out, "| `%s` | %s |\n", p.message, describe(p.fields))
	}
	p.message, p.fields = "", map[string][]string{}
}

// describe lists the fields of a message by state, those that are done first.
func describe(fields map[string][]string) string {
	var parts []string
	if done := fields["done"]; len(done) > 0 {
		parts = append(parts, "done: "+strings.Join(done, ", "))
	}
	var labels []string
	for label := range fields {
		if label != "done" {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	for _, label := range labels {
		state, reason, _ := strings.Cut(label, ": ")
		parts = append(parts, fmt.Sprintf("**%s**: %s (%s)", state, strings.Join(fields[label], ", "), reason))
	}
	return strings.Join(parts, "; ")
}

const preface = `# Compatibility, row by row

Written by ` + "`go test ./test/conformance/table -update`" + `; the test fails when it is stale, and when a row is neither done nor argued in
` + "`test/conformance/table/testdata/exceptions.txt`" + `. Rows: SUMS.

*Done*: a call or endpoint is answered by a real master or agent (a refusal of a call that is not complete counts), a metric is in its answer, a flag is in its help, a permission is in an ACL file and
asked for in the package named; a field, event, capability, operation or reason is used by the code of a component (the type checker finds where). *Carried*: kept
and passed on unchanged, in JSON and protobuf (` + "`TestEveryFieldSurvivesBothEncodings`" + `); it means something to others. *Differs*, *not built*: see
` + "`compatibility.md`" + `.
`
