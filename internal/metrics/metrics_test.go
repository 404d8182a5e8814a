package metrics

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFiguresAreSortedJSONOfAllKinds(t *testing.T) {
	r := New()
	r.Counter("master/b").Add(2)
	r.Gauge("master/a").Set(0.5)
	r.Counter("frameworks/\x01é\"/n").Add(1)
	r.Register(func(_ context.Context, emit func(string, float64)) { emit("master/c", 3) })
	r.Timer("once_ms").Observe(time.Millisecond)
	for i := range 2000 {
		r.Timer("x_ms").Observe(time.Duration(i) * time.Millisecond)
	}
	text := r.Collect(t.Context()).AppendJSON(nil)
	var all map[string]float64
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if want := `{"frameworks/\u0001é\"/n":1.0,"master/a":0.5,"master/b":2.0,"master/c":3.0,"once_ms":1.0,"x_ms":1999.0,`; string(text[:len(want)]) != want {
		t.Errorf("got %s", text)
	}
	// Percentiles are of the newest thousand: 1000 to 1999.
	if all["x_ms/count"] != 2000 || all["x_ms/min"] != 1000 || all["x_ms/max"] != 1999 || all["x_ms/p50"] != 1499.5 {
		t.Errorf("got %v", all)
	}
}

func TestThoseWhoAskTogetherShareARoundAndRoundsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, begun := New(), []time.Time{}
		r.Register(func(context.Context, func(string, float64)) {
			begun = append(begun, time.Now())
			time.Sleep(100 * time.Millisecond)
		})
		var asking sync.WaitGroup
		ask := func() { asking.Go(func() { r.Collect(t.Context()) }) }
		ask()
		synctest.Wait() // the first round has begun
		for range 50 {
			ask()
		}
		asking.Wait()
		if len(begun) != 2 || begun[1].Sub(begun[0]) != 300*time.Millisecond {
			t.Errorf("rounds began at %v, want two, 300 ms apart", begun)
		}
		r.Wait()
	})
}

func TestWhatIsNotKnownInTimeIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		r.Counter("counted").Add(1)
		r.Register(func(ctx context.Context, emit func(string, float64)) {
			<-ctx.Done()
			emit("slow", 1)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if got := string(r.Collect(ctx).AppendJSON(nil)); got != `{"counted":1.0}` || time.Since(begin) != 10*time.Millisecond {
			t.Errorf("got %s after %v", got, time.Since(begin))
		}
		if got := string(r.Collect(t.Context()).AppendJSON(nil)); got != `{"counted":1.0,"slow":1.0}` {
			t.Errorf("got %s", got)
		}
		r.Wait()
	})
}

const table = `
# a comment
gauge load/<1min|5min> | Load over $1.
counter frameworks/{name%}/{id}/calls/{call} = framework_calls | Calls by type.
gauge roles/{role...}/share = role_share | Share of a role.
timer run_ms | Time of a run.
`

func TestPrometheusHasLabelsHelpAndUnits(t *testing.T) {
	families, err := ParseFamilies(table, "agora_")
	if err != nil {
		t.Fatal(err)
	}
	r := New()
	r.Timer("run_ms").Observe(time.Second)
	r.Timer("run_ms").Observe(3 * time.Second)
	r.Register(func(_ context.Context, emit func(string, float64)) {
		emit("load/5min", 0.25)
		emit(`frameworks/a%2Fb"/f-0000/calls/kill`, 7)
		emit("roles/eng/web/share", 0.5)
		emit("roles//share", 1)
		emit("of no family", 1)
		emit("roles/\xffa/share", 2)
	})
	var out strings.Builder
	if err := r.Collect(t.Context()).Prometheus(&out, families); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	want := `# HELP agora_load_5min Load over 5min.
# TYPE agora_load_5min gauge
agora_load_5min 0.25
# HELP agora_framework_calls_total Calls by type.
# TYPE agora_framework_calls_total counter
agora_framework_calls_total{name="a/b\"",id="f-0000",call="kill"} 7
# HELP agora_role_share Share of a role.
# TYPE agora_role_share gauge
agora_role_share{role=""} 1
agora_role_share{role="eng/web"} 0.5
agora_role_share{role="�a"} 2
# HELP agora_run_seconds Time of a run.
# TYPE agora_run_seconds summary
agora_run_seconds{quantile="1"} 3
agora_run_seconds{quantile="0"} 1
agora_run_seconds{quantile="0.5"} 2
agora_run_seconds{quantile="0.9"} 2.8
agora_run_seconds{quantile="0.95"} 2.9
agora_run_seconds{quantile="0.99"} 2.98
agora_run_seconds{quantile="0.999"} 2.998
agora_run_seconds{quantile="0.9999"} 2.9998
agora_run_seconds_sum 4
agora_run_seconds_count 2
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestABadTableNamesItsLine(t *testing.T) {
	for _, line := range []string{"gauge x", "gauge x |", "meter x | help", "gauge | help"} {
		if _, err := ParseFamilies("\n"+line, ""); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: got %v", line, err)
		}
	}
}
