package resources

import (
	"testing"

	"pgregory.net/rapid"
)

// The model of ranges is a set of numbers below 64.
func drawRanges(t *rapid.T, name string) (Ranges, map[uint64]bool) {
	model := map[uint64]bool{}
	var all []Range
	for range rapid.IntRange(0, 6).Draw(t, name) {
		begin := rapid.Uint64Range(0, 60).Draw(t, "begin")
		r := Range{begin, begin + rapid.Uint64Range(0, 9).Draw(t, "size")}
		all = append(all, r)
		for n := r.Begin; n <= r.End; n++ {
			model[n] = true
		}
	}
	return NewRanges(all...), model
}

func numbers(r Ranges) map[uint64]bool {
	all := map[uint64]bool{}
	for _, one := range r {
		for n := one.Begin; n <= one.End; n++ {
			all[n] = true
		}
	}
	return all
}

func TestRangesAgreeWithASetOfNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, inA := drawRanges(t, "a")
		b, inB := drawRanges(t, "b")
		sum, rest, within, common := numbers(a.Add(b)), numbers(a.Sub(b)), true, false
		for n := uint64(0); n < 80; n++ {
			if sum[n] != (inA[n] || inB[n]) {
				t.Fatalf("%s + %s = %s", a, b, a.Add(b))
			}
			if rest[n] != (inA[n] && !inB[n]) {
				t.Fatalf("%s - %s = %s", a, b, a.Sub(b))
			}
			within = within && (!inB[n] || inA[n])
			common = common || inA[n] && inB[n]
		}
		if a.Contains(b) != within || a.Overlaps(b) != common || a.Size() != uint64(len(inA)) {
			t.Fatalf("%s and %s: contains %v, overlaps %v, size %d", a, b, a.Contains(b), a.Overlaps(b), a.Size())
		}
	})
}

func drawResources(t *rapid.T, name string) Resources {
	tokens := []string{"cpus:1.5", "cpus:0.001", "mem:64", "mem(a):64", "mem(a/b):5", "disk(a):1000", "ports:[1-5]", "ports:[4-9,20-30]",
		"x:{a,b}", "x:{c}", "gpus:1"}
	var sum Resources
	for range rapid.IntRange(0, 8).Draw(t, name) {
		one, err := Parse(rapid.SampledFrom(tokens).Draw(t, "token"), "*")
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "allocated") {
			one = one.Allocate("a")
		}
		sum = sum.Add(one)
	}
	return sum
}

func TestWhatIsAddedCanBeTakenAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawResources(t, "a"), drawResources(t, "b")
		sum := a.Add(b)
		if !sum.Equal(b.Add(a)) || !sum.Contains(a) || !sum.Contains(b) {
			t.Fatalf("%s and %s add up to %s", a, b, sum)
		}
		rest, ok := sum.Sub(b)
		if !ok || rest.Scalar("cpus") != a.Scalar("cpus") || rest.Scalar("mem") != a.Scalar("mem") {
			t.Fatalf("%s - %s = %s", sum, b, rest)
		}
		if _, ok := a.Sub(b); ok != a.Contains(b) {
			t.Fatalf("%s - %s: ok %v", a, b, ok)
		}
		back, err := FromProto(a.Proto())
		if err != nil || !back.Equal(a) {
			t.Fatalf("%s came back as %s (%v)", a, back, err)
		}
		if !a.Reserved().Add(a.Unreserved()).Equal(a) {
			t.Fatalf("%s falls apart", a)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"cpus:4;mem(role):1024;ports:[31000-32000];x:{a,b}", `[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]`,
		"ports:[0-18446744073709551615]", "cpus:1e308", "a:{", "[[", ";;:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text, "*")
		if err != nil {
			return
		}
		back, err := FromProto(r.Proto())
		if err != nil || !back.Equal(r) {
			t.Fatalf("%q: %s came back as %s (%v)", text, r, back, err)
		}
		if rest, ok := r.Add(r).Sub(r); !ok && !rest.IsEmpty() {
			t.Fatalf("%q: 2r - r", text)
		}
	})
}

func FuzzRanges(f *testing.F) {
	f.Add("[1-5,3-9]", "[0-18446744073709551615]")
	f.Fuzz(func(t *testing.T, left, right string) {
		a, err := ParseRanges(left)
		if err != nil {
			return
		}
		b, err := ParseRanges(right)
		if err != nil {
			return
		}
		if rest := a.Sub(b); rest.Overlaps(b) || !a.Contains(rest) || !a.Add(b).Contains(a) {
			t.Fatalf("%s - %s = %s", a, b, rest)
		}
	})
}

func FuzzAttributes(f *testing.F) {
	f.Add("rack:r1;level:10;ports:[1-5];s:{a}")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ParseAttributes(text) })
}
