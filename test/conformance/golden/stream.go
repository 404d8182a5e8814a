package golden

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/api/recordio"
)

// Player replays one conversation. Make it with Start.
type Player struct {
	t    *Tester
	c    *Conversation
	next int // of c.Lines
	n    int // of units

	// Patience is how long an event is waited for.
	Patience time.Duration
	// At is called before the line with that call or remark is replayed.
	At func(Line)

	seen   map[string]bool
	missed int

	head     http.Header
	response *http.Response
	records  sync.WaitGroup

	mu     sync.Mutex
	got    []*received
	ended  bool
	change chan struct{}
	// offers are ours that stand for no recorded one yet; bound are the others.
	offers []any
	bound  map[string][]any
}

// received is an event of ours.
type received struct {
	key  string
	raw  []byte
	used bool
}

// Start opens a conversation's stream, and compares its head.
func (t *Tester) Start(ctx context.Context, c *Conversation) (*Player, error) {
	p := &Player{t: t, c: c, Patience: 7 * time.Second, change: make(chan struct{}), bound: map[string][]any{}, seen: map[string]bool{}}
	response, err := t.open(ctx, c.Open)
	if err != nil {
		return nil, err
	}
	p.response, p.head = response, response.Header
	got := Answer{Status: response.StatusCode, Header: response.Header}
	if c.Head.Status != http.StatusOK || response.StatusCode != http.StatusOK {
		got.Body, _ = io.ReadAll(response.Body)
	}
	if c.Head.Status == http.StatusOK {
		t.Report.Add(c.Name+"#head", compareHeads(c.Head, got))
	} else {
		t.Report.Add(c.Name+"#head", t.compare(c.Open, c.Head, got))
	}
	p.records.Go(p.read)
	if len(c.Lines) > 0 && c.Lines[0].Event != nil {
		p.wait(p.Patience, func() bool { return len(p.got) > 0 }) // what comes after was recorded after it
	}
	return p, nil
}

func (p *Player) read() {
	reader := recordio.NewReader(p.response.Body, 0)
	for {
		record, err := reader.Read()
		p.mu.Lock()
		if err != nil {
			p.ended = true
		} else {
			raw := p.c.readable(slices.Clone(record))
			p.got = append(p.got, &received{key: eventKey(raw), raw: raw})
			p.track(raw)
		}
		close(p.change)
		p.change = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Close ends the stream.
func (p *Player) Close() {
	p.response.Body.Close()
	p.records.Wait()
}

// wait blocks until ready, which runs under the lock, or for d.
func (p *Player) wait(d time.Duration, ready func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		ok, ended, change := ready(), p.ended, p.change
		p.mu.Unlock()
		if ok || ended {
			return ok
		}
		select {
		case <-change:
		case <-deadline.C:
			return false
		}
	}
}

// Play replays to the end, or until stop says so of the next line.
func (p *Player) Play(ctx context.Context, stop func(Line) bool) {
	for ; p.next < len(p.c.Lines); p.next++ {
		line := p.c.Lines[p.next]
		if stop != nil && stop(line) {
			return
		}
		if p.At != nil {
			p.At(line)
		}
		p.n++
		switch {
		case line.Call != nil:
			p.call(ctx, line)
		case line.Event != nil:
			p.event(line)
		}
	}
}

func (p *Player) unit(what string) string { return fmt.Sprintf("%s#%d %s", p.c.Name, p.n, what) }

func (p *Player) call(ctx context.Context, line Line) {
	body := line.Call
	if p.t.Rewrite != nil {
		body = p.t.Rewrite(body) // as long as its spelling is the recorded one
	}
	body = p.withOffers(body)
	r := Request{Method: http.MethodPost, Path: p.c.Open.Path, Header: p.c.Open.Header.Clone(), Body: body, agent: p.c.Open.agent}
	if id := p.head.Get("Mesos-Stream-Id"); id != "" {
		r.Header.Set("Mesos-Stream-Id", id)
	}
	if text := string(line.Answer.Body); strings.Contains(text, "'Mesos-Stream-Id' header") || strings.Contains(text, "didn't match the stream ID") {
		r.Header.Set("Mesos-Stream-Id", "11111111-1111-1111-1111-111111111111")
		if strings.Contains(text, "'Mesos-Stream-Id' header") {
			r.Header.Del("Mesos-Stream-Id")
		}
	}
	got, err := p.t.send(ctx, r)
	name := p.unit("call " + eventKey(line.Call))
	if err != nil {
		p.t.Report.Add(name, []Difference{{"connection", "an answer", err.Error()}})
		return
	}
	p.t.Report.Add(name, p.t.compare(r, line.Answer, got))
}

// event waits for our event of the same kind and subject.
func (p *Player) event(line Line) {
	key := eventKey(line.Event)
	if key == "HEARTBEAT" && p.n > 4 {
		return // its time is not part of the comparison
	}
	if strings.HasPrefix(key, "OFFERS") {
		p.offersEvent(line)
		return
	}
	name := p.unit("event " + key)
	var match *received
	p.wait(p.patience(name, key), func() bool {
		i := slices.IndexFunc(p.got, func(r *received) bool { return !r.used && r.key == key })
		if i >= 0 {
			match = p.got[i]
			match.used = true
		}
		return i >= 0
	})
	p.seen[key] = true
	if match == nil {
		p.missed++
		p.t.Report.Add(name, []Difference{{"event", key, "nothing"}})
		return
	}
	differences, pairs := compareDocuments(line.Event, match.raw)
	p.t.learn(pairs)
	p.t.Report.Add(name, differences)
}

// patience is how long an event is waited for: longer when it repeats another, which takes a
// retry's delay, and shorter once many did not come.
func (p *Player) patience(unit, key string) time.Duration {
	switch {
	case p.t.Report.Allows(unit, Difference{"event", key, "nothing"}), p.missed >= 4:
		return p.Patience / 10
	case p.seen[key]:
		return 3 * p.Patience
	}
	return p.Patience
}

// offersEvent compares what is offered: how many offers a cluster makes of it, and when, is
// the allocator's.
func (p *Player) offersEvent(line Line) {
	var doc offersDoc
	json.Unmarshal(line.Event, &doc)
	var ids []string
	for _, offer := range doc.Offers.Offers {
		ids = append(ids, offer.ID.Value)
	}
	name := p.unit("event OFFERS")
	ours := p.bind(name, ids)
	if len(ours) == 0 {
		p.missed++
		p.t.Report.Add(name, []Difference{{"event", "OFFERS", "nothing"}})
		return
	}
	got, _ := json.Marshal(map[string]any{"type": "OFFERS", "offers": map[string]any{"offers": []any{merge(ours)}}})
	differences, pairs := compareDocuments(line.Event, got)
	p.t.learn(pairs)
	p.t.Report.Add(name, differences)
}

// Rest reports events of ours that nobody waited for, but for those sent again.
func (p *Player) Rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	told := map[string]bool{}
	for _, r := range p.got {
		if !r.used && !told[r.key] && !p.seen[r.key] && r.key != "HEARTBEAT" && !strings.HasPrefix(r.key, "OFFERS") && r.key != "RESCIND" {
			p.n++
			told[r.key] = true
			p.t.Report.Add(p.unit("extra "+r.key), []Difference{{"event", "nothing", r.key}})
		}
	}
}
