package allocator

import (
	"math/rand/v2"
	"testing"
)

func TestRefusalsAreFoundAfterAnyHistory(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	clients := make([]*client, 300)
	for i := range clients {
		clients[i] = &client{number: rng.Uint32N(1000) + uint32(1000*i)}
	}
	var table refusals
	want := map[*client]*filter{}
	for range 50_000 {
		c := clients[rng.IntN(len(clients))]
		var f *filter
		if delete(want, c); rng.IntN(3) > 0 {
			f = &filter{client: c}
			want[c] = f
		}
		table.set(c, f)
		if other := clients[rng.IntN(len(clients))]; table.of(other) != want[other] {
			t.Fatalf("client %d: got %p, want %p", other.number, table.of(other), want[other])
		}
		if table.count != len(want) {
			t.Fatalf("%d are counted, %d are there", table.count, len(want))
		}
	}
	for _, c := range table.clients() {
		if table.of(c) != want[c] {
			t.Errorf("client %d is listed and not found", c.number)
		}
		table.set(c, nil)
	}
	if table.count != 0 || table.slots != nil {
		t.Errorf("%d stay in a table that was emptied", table.count)
	}
}
