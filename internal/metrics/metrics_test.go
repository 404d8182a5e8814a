package metrics

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSnapshotIsSortedJSONOfAllKinds(t *testing.T) {
	r := New()
	r.Counter("master/b").Add(2)
	r.Gauge("master/a").Set(0.5)
	r.Register(func(emit func(string, float64)) { emit("master/c", 3) })
	for i := range 2000 {
		r.Timer("x_ms").Observe(time.Duration(i) * time.Millisecond)
	}
	text := r.AppendJSON(nil)
	var all map[string]float64
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if want := `{"master/a":0.5,"master/b":2.0,"master/c":3.0,"x_ms":1999.0,`; string(text[:len(want)]) != want {
		t.Errorf("got %s", text)
	}
	// Percentiles are of the newest thousand: 1000 to 1999.
	if all["x_ms/count"] != 2000 || all["x_ms/min"] != 1000 || all["x_ms/max"] != 1999 || all["x_ms/p50"] != 1499.5 {
		t.Errorf("got %v", all)
	}
}
