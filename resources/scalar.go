package resources

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// maxMilli bounds an amount, so that sums of many cannot wrap around.
const maxMilli = math.MaxInt64 / 4

// Milli turns a number into thousandths, rounded to the nearest.
func Milli(value float64) (int64, error) {
	switch {
	case math.IsNaN(value) || math.IsInf(value, 0):
		return 0, errors.New("Invalid scalar resource: value is not a finite number")
	case value < 0:
		return 0, errors.New("Invalid scalar resource: value < 0")
	case value*1000 > maxMilli:
		return 0, errors.New("Invalid scalar resource: value is too large")
	}
	return int64(math.Round(value * 1000)), nil
}

// Float is the number that so many thousandths are.
func Float(milli int64) float64 { return float64(milli) / 1000 }

func addMilli(a, b int64) int64 { return min(a+b, 2*maxMilli) }

// formatMilli prints up to three decimals and no trailing zeros.
func formatMilli(milli int64) string {
	sign := ""
	if milli < 0 {
		sign, milli = "-", -milli
	}
	text := sign + strconv.FormatInt(milli/1000, 10)
	if rest := milli % 1000; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatInt(1000+rest, 10)[1:], "0")
	}
	return text
}
