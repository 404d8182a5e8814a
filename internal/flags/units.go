package flags

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

type unit struct {
	name string
	size int64
}

// From small to large, as printing prefers the largest that divides.
var (
	durationUnits = []unit{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"secs", 1e9}, {"mins", 60e9}, {"hrs", 3600e9},
		{"days", 24 * 3600e9}, {"weeks", 7 * 24 * 3600e9}}
	byteUnits = []unit{{"B", 1}, {"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}}
)

// ParseDuration reads a number and a unit: 250ms, 15secs, 1.5hrs. Forms of Go such as 1m30s are
// taken too.
func ParseDuration(text string) (time.Duration, error) {
	n, err := parse(text, durationUnits)
	if err == nil {
		return time.Duration(n), nil
	}
	if d, plain := time.ParseDuration(text); plain == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration: write a number and ns, us, ms, secs, mins, hrs, days or weeks", text)
}

// ParseBytes reads a number and a unit: 64MB. Units are powers of 1024.
func ParseBytes(text string) (int64, error) {
	n, err := parse(text, byteUnits)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a size: write a number and B, KB, MB, GB or TB", text)
	}
	return n, nil
}

func parse(text string, units []unit) (int64, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) {
		return 0, fmt.Errorf("%q is not a number", number)
	}
	for _, u := range units {
		if u.name != text[len(number):] {
			continue
		}
		if value *= float64(u.size); math.Abs(value) >= 1<<63 {
			return 0, fmt.Errorf("%q is too large", text)
		}
		return int64(value), nil
	}
	return 0, fmt.Errorf("%q has no known unit", text)
}

// FormatDuration prints with the largest unit that divides: 15secs, 10mins, 2weeks.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0ns"
	}
	return format(int64(d), durationUnits)
}

// FormatBytes prints with the largest unit that divides: 64MB.
func FormatBytes(n int64) string { return format(n, byteUnits) }

func format(n int64, units []unit) string {
	best := units[0]
	for _, u := range units {
		if n != 0 && n%u.size == 0 {
			best = u
		}
	}
	return strconv.FormatInt(n/best.size, 10) + best.name
}
