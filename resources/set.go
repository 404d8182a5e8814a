package resources

import "slices"

// Sets are sorted slices without duplicates, never changed in place.

func unionSet(a, b []string) []string {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}

func subSet(a, b []string) []string {
	var left []string
	for _, one := range a {
		if _, found := slices.BinarySearch(b, one); !found {
			left = append(left, one)
		}
	}
	return left
}

func containsSet(a, b []string) bool {
	for _, one := range b {
		if _, found := slices.BinarySearch(a, one); !found {
			return false
		}
	}
	return true
}
