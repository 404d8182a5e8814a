package flags

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type options struct {
	ip    string
	port  int
	quiet bool
	ping  time.Duration
	size  int64
	roles []string
}

func newSet(o *options) *Set {
	s := New("MESOS_")
	s.String(&o.ip, "ip", "address")
	s.Int(&o.port, "port", "port")
	s.Bool(&o.quiet, "quiet", "say less")
	s.Duration(&o.ping, "agent_ping_timeout", "time to answer")
	s.Bytes(&o.size, "size", "size")
	s.List(&o.roles, "roles", "roles")
	s.Alias("slave_ping_timeout", "agent_ping_timeout")
	return s
}

func TestEverySpellingOfAFlagIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ip")
	os.WriteFile(file, []byte("127.0.0.9\n"), 0o600)
	o := options{port: 5050, quiet: true}
	s := newSet(&o)
	rest, err := s.Parse([]string{"--ip=file://" + file, "--no-quiet", "--size", "64MB", "x", "--slave_ping_timeout=1mins", "--", "--y"},
		[]string{"MESOS_PORT=6060", "MESOS_SIZE=1KB", "MESOS_ROLES=a, b", "MESOS_UNHEARD_OF=1", "PORT=1"})
	if err != nil {
		t.Fatal(err)
	}
	if o.ip != "127.0.0.9" || o.port != 6060 || o.quiet || o.ping != time.Minute || o.size != 64<<20 || strings.Join(o.roles, " ") != "a b" {
		t.Errorf("got %+v", o)
	}
	if strings.Join(rest, " ") != "x --y" {
		t.Errorf("rest %q", rest)
	}
	if v := s.Values(); v["agent_ping_timeout"] != "1mins" || v["size"] != "64MB" || v["quiet"] != "false" {
		t.Errorf("values %v", v)
	}
}

func TestBadFlagsAreOneClearLine(t *testing.T) {
	for arg, want := range map[string]string{
		"--prot=1":                "unknown flag --prot; did you mean --port?",
		"--zzzzzzzzzz":            "unknown flag --zzzzzzzzzz; see --help",
		"--port":                  "flag --port needs a value: --port=VALUE",
		"--port=x":                `flag --port: "x" is not a whole number`,
		"--no-quiet=1":            "flag --no-quiet takes no value",
		"--agent_ping_timeout=15": "flag --agent_ping_timeout: \"15\" is not a duration",
		"--size=1XB":              `flag --size: "1XB" is not a size`,
		"--ip=file:///nowhere":    "no such file",
	} {
		_, err := newSet(&options{}).Parse([]string{arg}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %s", arg, err, want)
		}
	}
}

func TestUnitsPrintAsMesosPrintsThem(t *testing.T) {
	for text, want := range map[string]string{"60secs": "1mins", "14days": "2weeks", "1.5secs": "1500ms", "0secs": "0ns", "90m": "90mins"} {
		if d, err := ParseDuration(text); err != nil || FormatDuration(d) != want {
			t.Errorf("%s: got %s %v, want %s", text, FormatDuration(d), err, want)
		}
	}
	if _, err := ParseDuration("1e30weeks"); err == nil {
		t.Error("an endless duration is taken")
	}
}

// TestOptionsOfOlderPrograms: what changes nothing is accepted and said, what cannot be kept is refused.
func TestOptionsOfOlderPrograms(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // what is idle, or part of the error
	}{
		{nil, ""},
		{[]string{"--launcher_dir=/usr/libexec", "--no-driver"}, "driver launcher_dir"},
		{[]string{"--allocator", "HierarchicalDRF"}, "allocator"},
		{[]string{"--allocator=mine"}, `flag --allocator: "mine" is not supported, HierarchicalDRF is: there is one`},
		{[]string{"--hooks=a"}, "flag --hooks: not supported: libraries of C++"},
	} {
		s := New("X_")
		s.Fixed("launcher_dir", "one program is everything")
		s.FixedBool("driver", "there are no drivers")
		s.Fixed("allocator", "there is one", "HierarchicalDRF")
		s.Refused("hooks", "libraries of C++")
		_, err := s.Parse(c.args, nil)
		var names []string
		for _, f := range s.Idle() {
			names = append(names, f.Name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
		if usage := s.Usage(); !strings.Contains(usage, "Accepted without effect:\n  --allocator: there is one\n") || !strings.Contains(usage, "Refused:\n  --hooks: libraries of C++\n") {
			t.Errorf("help: %s", usage)
		}
	}
}
