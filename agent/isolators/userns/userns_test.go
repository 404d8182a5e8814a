package userns_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/userns"
)

func TestRangesAreGivenOnceUntilFreed(t *testing.T) {
	r, err := userns.Parse("100000-362143", "") // four
	if err != nil || !r.Given() {
		t.Fatal(err)
	}
	r.Reserve(0)
	r.Reserve(100001) // of an agent with another range: it is in the first two
	for _, want := range []uint32{231072, 296608} {
		if got, err := r.Allocate(); err != nil || got != want {
			t.Errorf("got %d, %v; want %d", got, err, want)
		}
	}
	const full = "no ids are left for a user namespace: all 4 ranges of 100000-362143 are in use; widen --userns_range"
	if got, err := r.Allocate(); err == nil || err.Error() != full {
		t.Errorf("got %d, %v; want %q", got, err, full)
	}
	r.Free(100001)
	if got, err := r.Allocate(); err != nil || got != 100000 {
		t.Errorf("got %d, %v after it was freed", got, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct{ span, policy, problem string }{
		{"", "", ""}, {"", "asked", ""}, {"65536-131071", "always", ""}, {"1000000-2147483647", "default", ""},
		{"", "always", "--userns=always needs ids"}, {"", "on", `--userns: "on" is unknown; it is asked, default or always`},
		{"1000000", "", "is no range"}, {"a-b", "", "is no range"}, {"-5", "", "is no range"}, {"1-2-3", "", "is no range"},
		{"1000-200000", "", "ids are from 65536"}, {"1000000-2147483648", "", "to 2147483647"},
		{"1000000-1065534", "", "no room for one container"}, {"2000000-1000000", "", "no room"},
	} {
		r, err := userns.Parse(c.span, c.policy)
		if c.problem == "" && (err != nil || r.Given() != (c.span != "")) {
			t.Errorf("%q %q: %v, given %v", c.span, c.policy, err, r.Given())
		}
		if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%q %q: got %v, want %q", c.span, c.policy, err, c.problem)
		}
	}
}

func TestWhoHasAUserNamespace(t *testing.T) {
	const span = "1000000-2000000"
	for _, c := range []struct {
		span, policy, asked string
		want                bool
		problem             string
	}{
		{"", "", "", false, ""}, {"", "", "host", false, ""}, {"", "", "private", false, "start it with --userns_range"},
		{span, "asked", "", false, ""}, {span, "asked", "private", true, ""}, {span, "asked", "host", false, ""},
		{span, "default", "", true, ""}, {span, "default", "host", false, ""}, {span, "default", "private", true, ""},
		{span, "always", "", true, ""}, {span, "always", "host", false, "--userns=always"}, {span, "always", "yes", false, "it is private or host"},
	} {
		r, err := userns.Parse(c.span, c.policy)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Wanted(c.asked)
		if got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q %q, asked %q: got %v, %v", c.span, c.policy, c.asked, got, err)
		}
	}
}

func TestZeroValueGivesNothing(t *testing.T) {
	var r userns.Ranges
	r.Reserve(1000000)
	r.Free(1000000)
	if _, err := r.Allocate(); err == nil || r.Given() {
		t.Error("it gives ids")
	}
}
