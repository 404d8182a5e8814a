package main

import "testing"

func TestQuantileTakesTheValueBelowWhichTheShareLies(t *testing.T) {
	values := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 6, 0.99: 10, 1: 10} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: got %v", got)
	}
}

func TestAFigurePassesWithinItsBudget(t *testing.T) {
	cases := []struct {
		name string
		f    figure
		want bool
	}{
		{"below", figure{Value: 1, Must: 2}, true},
		{"above", figure{Value: 3, Must: 2}, false},
		{"rate reached", figure{Value: 3, Must: 2, HigherIsBetter: true}, true},
		{"rate missed", figure{Value: 1, Must: 2, HigherIsBetter: true}, false},
		{"without budget", figure{Value: 9}, true},
	}
	for _, c := range cases {
		if got := c.f.passes(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
