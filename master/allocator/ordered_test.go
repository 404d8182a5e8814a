package allocator

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// A list in pieces holds what a plain sorted list holds, after any history.
func TestOrderedListsStayInOrder(t *testing.T) {
	compare := func(x, y *int) int { return cmp.Compare(*x, *y) }
	rng := rand.New(rand.NewPCG(1, 2))
	var list ordered[int]
	var want []*int
	check := func(step string) {
		t.Helper()
		var got []*int
		list.visit(func(n *int) bool { got = append(got, n); return false })
		slices.SortFunc(want, compare)
		if !slices.Equal(got, want) || list.length != len(want) {
			t.Fatalf("%s: %d entries of %d, or out of order", step, len(got), len(want))
		}
	}
	next := 0
	for round := range 200 {
		for range 20 + rng.IntN(40) {
			next++
			value := rng.IntN(1<<20)<<16 + next&0xffff // no two are equal
			one := &value
			list.insert(one, compare)
			want = append(want, one)
		}
		check("insert")
		for range rng.IntN(30) {
			one := want[rng.IntN(len(want))]
			list.replace(one, compare, func() { *one = rng.IntN(1<<20)<<16 + *one&0xffff })
		}
		check("replace")
		for range rng.IntN(40) {
			i := rng.IntN(len(want))
			if rng.IntN(2) == 0 {
				list.remove(want[i], compare)
			} else {
				list.drop(want[i])
			}
			want = slices.Delete(want, i, i+1)
		}
		check("remove")
		if round%20 == 0 {
			for _, one := range want {
				*one = rng.IntN(1<<20)<<16 + *one&0xffff
			}
			list.sort(compare)
			check("sort")
			odd := func(n *int) bool { return *n>>16&1 == 1 }
			list.deleteFunc(odd)
			want = slices.DeleteFunc(want, odd)
			check("delete")
		}
	}
}
