// Package golden replays what was recorded from a real Mesos master and agent against ours,
// and compares the answers.
//
// It owns reading the recordings (parse.go), the meaning of "the same answer" (compare.go,
// normalise.go), the replay of conversations (replay.go) and the report with its allow-list
// and its ratchet (report.go). It promises that every recorded exchange, call and event
// is either compared or listed as not compared. It refuses to judge values that must differ: ids,
// times, addresses, versions and amounts.
package golden

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/codec"
	"google.golang.org/protobuf/proto"
)

// Request is a recorded request, with the lines of its head as they were.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
	// agent: it was sent to the agent.
	agent bool
}

// Answer is a response: recorded, or ours.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Exchange is one recorded request and its answer.
type Exchange struct {
	// Name is the file below the recordings, for example "errors/scheduler/empty.http".
	Name    string
	Request Request
	// Answer has the status 0 when the daemon died of the request.
	Answer Answer
	// Date is when it was recorded, to the second.
	Date string
}

// Exchanges reads the *.http files of a folder, oldest first.
func Exchanges(root, folder string) ([]Exchange, error) {
	files, err := filepath.Glob(filepath.Join(root, folder, "*.http"))
	if err != nil {
		return nil, err
	}
	var all []Exchange
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		exchange, err := parseExchange(raw)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		exchange.Name = folder + "/" + filepath.Base(file)
		all = append(all, exchange)
	}
	slices.SortStableFunc(all, func(a, b Exchange) int { return strings.Compare(a.order(), b.order()) })
	return all, nil
}

// late are exchanges whose second they share with those that they follow, and the names that put them there.
var late = map[string]string{"sem-remove-quota": "~", "quota-delete": "~", "REMOVE_NESTED_CONTAINER": "~", "sem-set-quota-again": "sem-set-quota-deprecated-again"}

// order sorts by time, and within a second by name: "x" before "x-again".
func (e Exchange) order() string {
	name := strings.TrimSuffix(path.Base(e.Name), ".http")
	if place, ok := late[name]; ok {
		name = place
	}
	return e.Date + " " + name
}

func parseExchange(raw []byte) (Exchange, error) {
	if bytes.HasPrefix(raw, []byte("#")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	question, answer, ok := bytes.Cut(bytes.TrimPrefix(raw, []byte(">>> REQUEST\n")), []byte("\n<<< RESPONSE\n"))
	if !ok {
		return Exchange{}, fmt.Errorf("no response in it")
	}
	answer, _, _ = bytes.Cut(answer, []byte("\n<<< DECODED"))
	var e Exchange
	var err error
	if e.Request, err = parseRequest(string(question)); err != nil {
		return e, err
	}
	head, body, _ := strings.Cut(string(answer), "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	if e.Answer.Status, err = status(first); err != nil {
		return e, err
	}
	e.Answer.Header = header(rest)
	e.Date = e.Answer.Header.Get("Date")
	e.Answer.Body, err = unwrap(body)
	return e, err
}

func parseRequest(text string) (Request, error) {
	head, body, _ := strings.Cut(text, "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	words := strings.Fields(first)
	if len(words) < 2 {
		return Request{}, fmt.Errorf("no request line in %q", first)
	}
	r := Request{Method: words[0], Path: words[1], Header: header(rest)}
	r.agent = strings.HasSuffix(r.Header.Get("Host"), ":5051")
	for _, name := range []string{"Host", "Content-Length", "Connection"} {
		r.Header.Del(name)
	}
	var err error
	r.Body, err = unwrap(strings.TrimSuffix(body, "\n"))
	return r, err
}

func header(lines string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}

func status(line string) (int, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return 0, nil
	}
	if len(words) < 2 {
		return 0, fmt.Errorf("no status in %q", line)
	}
	return strconv.Atoi(words[1])
}

func unwrap(body string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(body, "[base64] "); ok {
		return base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	}
	return []byte(strings.TrimSuffix(body, "\n")), nil
}

// Line is one step of a recorded conversation: a call with its answer, an event, or a remark.
type Line struct {
	Call   []byte // JSON
	Answer Answer // of Call
	Event  []byte // JSON
	Remark string
	// At is the time since the stream was opened.
	At time.Duration
}

// Conversation is one recorded stream: how it was opened, what the stream's head was, and
// what followed.
type Conversation struct {
	Name  string
	Open  Request
	Head  Answer
	Lines []Line
	// event is what a record is, if it is protobuf.
	event func() proto.Message
}

// readable is a record as JSON.
func (c *Conversation) readable(record []byte) []byte {
	if c.event == nil {
		return record
	}
	message := c.event()
	if err := codec.Unmarshal(codec.Protobuf, record, message); err != nil {
		return []byte(err.Error())
	}
	text, err := codec.Marshal(codec.JSON, message)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// protobuf makes of a conversation one in protobuf; call is the one that opened it, which
// the recording does not have.
func (c *Conversation) protobuf(call proto.Message, event func() proto.Message) error {
	var err error
	if c.Open.Body, err = codec.Marshal(codec.Protobuf, call); err != nil {
		return err
	}
	c.event = event
	for i, line := range c.Lines {
		record, err := base64.StdEncoding.DecodeString(string(line.Event))
		if err != nil {
			return fmt.Errorf("read %s: %w", c.Name, err)
		}
		c.Lines[i].Event = c.readable(record)
	}
	return nil
}

var stamp = regexp.MustCompile(`^\[\+([0-9.]+s)\] `)

// ReadConversation reads a *.log file whose records are JSON.
func ReadConversation(root, name string) (*Conversation, error) {
	raw, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	c := &Conversation{Name: name}
	text := string(raw)
	// What stands before the first request are remarks.
	if i := strings.Index(text, ">>> POST "); i >= 0 {
		text = text[i+len(">>> "):]
	}
	open, rest, ok := strings.Cut(text, "\n<<< HTTP/1.1 ")
	if !ok {
		return nil, fmt.Errorf("read %s: no answer in it", name)
	}
	if c.Open, err = parseRequest(open); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return c, c.parseRest(strings.Split("HTTP/1.1 "+rest, "\n"))
}

func (c *Conversation) parseRest(lines []string) error {
	var err error
	if c.Head.Status, err = status(lines[0]); err != nil {
		return err
	}
	i := 1
	for ; i < len(lines) && !strings.HasPrefix(lines[i], "["); i++ {
	}
	c.Head.Header = header(strings.Join(lines[1:i], "\n"))
	for _, line := range lines[i:] {
		var at time.Duration
		if found := stamp.FindStringSubmatch(line); found != nil {
			line = line[len(found[0]):]
			if at, err = time.ParseDuration(found[1]); err != nil {
				return fmt.Errorf("read %s: %w", c.Name, err)
			}
		}
		switch {
		case strings.HasPrefix(line, "### "):
			c.Lines = append(c.Lines, Line{At: at, Remark: line[4:]})
		case strings.HasPrefix(line, "<<< body: "):
			c.Head.Body = []byte(line[len("<<< body: "):])
		case strings.HasPrefix(line, "<<< EVENT "):
			if _, event, ok := strings.Cut(line, "): "); ok {
				c.Lines = append(c.Lines, Line{At: at, Event: []byte(event)})
			}
		case strings.HasPrefix(line, ">>> CALL "):
			c.Lines = append(c.Lines, Line{At: at, Call: []byte(line[len(">>> CALL "):])})
		case strings.HasPrefix(line, "<<< HTTP/1.1 ") && len(c.Lines) > 0:
			if err := c.Lines[len(c.Lines)-1].parseAnswer(line[len("<<< "):]); err != nil {
				return fmt.Errorf("read %s: %w", c.Name, err)
			}
		}
	}
	c.causesFirst()
	return nil
}

// causesFirst moves calls before the events that they may have caused: the recording has a
// call at the time of its answer.
func (c *Conversation) causesFirst() {
	const slack = 5 * time.Millisecond
	for i, line := range c.Lines {
		for j := i; j > 0 && line.Call != nil; j-- {
			before := c.Lines[j-1]
			if before.Event == nil || line.At-before.At > slack || line.needs(before) {
				break
			}
			c.Lines[j-1], c.Lines[j] = line, before
		}
	}
}

var learned = regexp.MustCompile(uuidText + `-O\d+|[A-Za-z0-9+/]{22}==`)

// needs says that a call has an id from an event, or tells that it did what the event asked for.
func (l Line) needs(event Line) bool {
	if task, ok := strings.CutPrefix(eventKey(event.Event), "KILL "); ok && strings.HasPrefix(eventKey(l.Call), "UPDATE "+task+" TASK_KILL") {
		return true
	}
	// An operation is asked about once its end has come.
	if op, ok := strings.CutPrefix(eventKey(event.Event), "UPDATE_OPERATION_STATUS "); ok && bytes.Contains(event.Event, []byte(`"uuid"`)) &&
		eventKey(l.Call) == "RECONCILE_OPERATIONS" && bytes.Contains(l.Call, []byte(`"`+strings.Fields(op)[0]+`"`)) {
		return true
	}
	return slices.ContainsFunc(learned.FindAll(l.Call, -1), func(id []byte) bool { return bytes.Contains(event.Event, id) })
}

// parseAnswer reads "HTTP/1.1 202 Accepted | Date: ... || body".
func (l *Line) parseAnswer(text string) error {
	head, body, _ := strings.Cut(text, " ||")
	parts := strings.Split(head, " | ")
	var err error
	l.Answer.Status, err = status(parts[0])
	l.Answer.Header = header(strings.Join(parts[1:], "\n"))
	l.Answer.Body = []byte(strings.TrimSpace(body))
	return err
}
