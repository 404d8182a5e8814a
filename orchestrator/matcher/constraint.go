package matcher

import (
	"fmt"
	"regexp"
	"strconv"
)

// Placed is an instance of the same app that counts for its constraints.
type Placed struct{ Fields map[string]string }

// constraint checks one; the text says why the offer fails it, "" when it does not.
func constraint(c []string, offer *Offer, placed []Placed) string {
	field, operator, value := c[0], c[1], ""
	if len(c) > 2 {
		value = c[2]
	}
	have, known := offer.Fields[field]
	if !known {
		if operator == "UNLIKE" {
			return ""
		}
		return fmt.Sprintf("%s %s %s: the agent has no %s", field, operator, value, field)
	}
	counts, first := map[string]int{}, ""
	for _, p := range placed {
		if v, ok := p.Fields[field]; ok {
			if len(counts) == 0 {
				first = v
			}
			counts[v]++
		}
	}
	if holds(operator, value, have, counts, first) {
		return ""
	}
	return fmt.Sprintf("%s %s %s: the agent has %q, where %d instances are", field, operator, value, have, counts[have])
}

func holds(operator, value, have string, counts map[string]int, first string) bool {
	n, _ := strconv.Atoi(value)
	switch operator {
	case "UNIQUE":
		return counts[have] == 0
	case "CLUSTER":
		if value == "" {
			return first == "" || have == first
		}
		return have == value
	case "MAX_PER":
		return counts[have] < n
	case "GROUP_BY":
		return evenly(n, have, counts)
	case "LIKE", "UNLIKE":
		// Validated when the app was; one that does not compile matches nothing.
		pattern, err := regexp.Compile("^(?:" + value + ")$")
		return err == nil && pattern.MatchString(have) == (operator == "LIKE")
	case "IS":
		return have == value
	}
	return false
}

// evenly is GROUP_BY: an unused value while fewer than n are used, or one with the fewest.
func evenly(n int, have string, counts map[string]int) bool {
	if counts[have] == 0 {
		return n == 0 || len(counts) < n
	}
	least := counts[have]
	for _, count := range counts {
		least = min(least, count)
	}
	return len(counts) >= n && counts[have] == least
}
