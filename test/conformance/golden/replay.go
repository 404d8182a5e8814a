package golden

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/master"
	"google.golang.org/protobuf/proto"
)

// Tester replays recordings against one cluster.
type Tester struct {
	// Root is the folder of the recordings.
	Root string
	// Master and Agent are addresses, "host:port"; Agent may be empty.
	Master, Agent string
	Report        *Report
	// Rewrite changes a call before it is sent; nil: as recorded.
	Rewrite func(call []byte) []byte

	client http.Client
	mu     sync.Mutex
	// ids maps recorded ids to those of this cluster.
	ids map[string]string
}

// answerTimeout bounds one exchange: calls that wait for a container are among them.
const answerTimeout = time.Minute

var idPattern = regexp.MustCompile(uuidText + `(-O\d+|-S\d+|-\d{4})?|[A-Za-z0-9+/]{22}==`)

// translate replaces recorded ids by ours, as far as they are known.
func (t *Tester) translate(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return idPattern.ReplaceAllStringFunc(text, func(id string) string {
		if ours, ok := t.ids[id]; ok {
			return ours
		}
		return id
	})
}

func (t *Tester) learn(pairs map[string]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ids == nil {
		t.ids = map[string]string{}
	}
	for recorded, ours := range pairs {
		t.ids[recorded] = ours
	}
}

// Folder replays every exchange of a folder in the order of their times.
func (t *Tester) Folder(ctx context.Context, folder string) error {
	all, err := Exchanges(t.Root, folder)
	for _, exchange := range all {
		t.Exchange(ctx, exchange)
	}
	return err
}

// File replays one exchange.
func (t *Tester) File(ctx context.Context, name string) error {
	folder, file := name[:strings.LastIndexByte(name, '/')], name[strings.LastIndexByte(name, '/')+1:]
	all, err := Exchanges(t.Root, folder)
	for _, exchange := range all {
		if strings.HasSuffix(exchange.Name, "/"+file) {
			t.Exchange(ctx, exchange)
		}
	}
	return err
}

// Exchange replays one exchange and reports what differs.
func (t *Tester) Exchange(ctx context.Context, e Exchange) {
	got, err := t.send(ctx, e.Request)
	if err != nil {
		t.Report.Add(e.Name, []Difference{{"connection", "an answer", err.Error()}})
		return
	}
	t.Report.Add(e.Name, t.compare(e.Request, e.Answer, got))
}

func (t *Tester) compare(r Request, want, got Answer) []Difference {
	if want.Status == 0 {
		// The daemon died of it; to answer anything at all is better.
		return nil
	}
	want.Body, got.Body = readable(r, want), readable(r, got)
	if r.Method == http.MethodHead {
		want.Body = nil // no client can read one
	}
	differences, pairs := compare(want, got)
	t.learn(pairs)
	return differences
}

// readable is a body as JSON if it is a message in protobuf.
func readable(r Request, a Answer) []byte {
	if a.Header.Get("Content-Type") != string(codec.Protobuf) {
		return a.Body
	}
	var message proto.Message = new(master.Response)
	if r.agent {
		message = new(agent.Response)
	}
	if err := codec.Unmarshal(codec.Protobuf, a.Body, message); err != nil {
		return []byte(err.Error())
	}
	text, err := codec.Marshal(codec.JSON, message)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

func (t *Tester) send(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	response, err := t.open(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body}, err
}

// open sends a request as it was recorded, but for ids and addresses.
func (t *Tester) open(ctx context.Context, r Request) (*http.Response, error) {
	body := r.Body
	if r.Header.Get("Content-Type") != string(codec.Protobuf) {
		body = []byte(t.translate(string(body)))
	}
	if t.Rewrite != nil {
		body = t.Rewrite(body)
	}
	address := t.Master
	if r.agent {
		address = t.Agent
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, "http://"+address+t.translate(r.Path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = r.Header.Clone()
	for name, values := range request.Header {
		for i := range values {
			request.Header[name][i] = t.translate(values[i])
		}
	}
	if request.Header.Get("Accept-Encoding") == "" {
		// The client would ask for compression by itself.
		request.Header.Set("Accept-Encoding", "identity")
	}
	return t.transport().RoundTrip(request)
}

func (t *Tester) transport() http.RoundTripper {
	if t.client.Transport == nil {
		t.client.Transport = &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	}
	return t.client.Transport
}
