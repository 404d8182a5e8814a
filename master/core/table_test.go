package core

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func collect(v View[int]) []int {
	var list []int
	for n := range v.All() {
		list = append(list, *n)
	}
	return list
}

func TestViewsNeverChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var tab table[int]
	slots := map[int]int{}
	type taken struct {
		view View[int]
		want []int
	}
	var views []taken
	for i := range 20_000 {
		switch rng.IntN(3) {
		case 0, 1:
			slots[tab.insert(ptr(i))] = i
		case 2:
			for slot := range slots {
				if rng.IntN(2) == 0 {
					tab.remove(slot)
					delete(slots, slot)
				} else {
					tab.set(slot, ptr(-i))
					slots[slot] = -i
				}
				break
			}
		}
		if i%1000 == 0 {
			v := tab.view()
			views = append(views, taken{v, collect(v)})
			if v.Len() != len(slots) || len(views[len(views)-1].want) != len(slots) {
				t.Fatalf("view has %d records, table %d", v.Len(), len(slots))
			}
		}
	}
	for i, v := range views {
		if !slices.Equal(collect(v.view), v.want) {
			t.Errorf("view %d changed after it was taken", i)
		}
	}
}

func TestRingsKeepTheNewestInOrder(t *testing.T) {
	r := ring[int]{bound: 3}
	var views []View[int]
	for i := range 8 {
		dropped := r.add(ptr(i))
		if (dropped == nil) != (i < 3) || dropped != nil && *dropped != i-3 {
			t.Errorf("adding %d dropped %v", i, dropped)
		}
		views = append(views, r.view())
	}
	if got := collect(views[7]); !slices.Equal(got, []int{5, 6, 7}) {
		t.Errorf("got %v", got)
	}
	if got := collect(views[3]); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("an older view changed: %v", got)
	}
}

func TestAmountsAddUp(t *testing.T) {
	a := amountsOf(parseResources("cpus:0.1;mem:32;ports:[1-10]", ""))
	sum := amounts(nil)
	for range 3 {
		sum = sum.plus(amountsOf(parseResources("cpus:0.1", "")))
	}
	if got := sum.String(); got != "cpus:0.3" {
		t.Errorf("three times 0.1 is %s", got)
	}
	rest := a.minus(amountsOf(parseResources("ports:[3-4]", "")))
	if got := rest.String(); got != "cpus:0.1; mem:32; ports:[1-2, 5-10]" {
		t.Errorf("got %s", got)
	}
	if rest.contains(amountsOf(parseResources("ports:[4-5]", ""))) || !rest.contains(amountsOf(parseResources("ports:[5-6];mem:32", ""))) {
		t.Errorf("contains is wrong about %s", rest)
	}
	if a.contains(amountsOf(parseResources("cpus:-1", ""))) {
		t.Error("a negative amount is contained")
	}
	if got := rest.plus(amountsOf(parseResources("ports:[3-4]", ""))); !got.equal(a) {
		t.Errorf("got %s, want %s", got, a)
	}
}

func TestBlocksHoldWhatAViewHolds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for bound := range 300 {
		r := ring[int]{bound: bound + 1}
		var tab table[int]
		for i := range rng.IntN(1000) {
			r.add(ptr(i))
			if tab.insert(ptr(i)); rng.IntN(3) == 0 {
				tab.remove(rng.IntN(i + 1))
			}
		}
		for _, view := range []View[int]{r.view(), tab.view()} {
			var got []int
			for b := range view.Blocks() {
				for _, n := range b.Records[b.From:b.To] {
					if n != nil {
						got = append(got, *n)
					}
				}
			}
			if want := collect(view); !slices.Equal(got, want) {
				t.Fatalf("bound %d: blocks hold %v, the view %v", r.bound, got, want)
			}
		}
	}
}
