package golden

import (
	"regexp"
	"slices"
	"strings"
)

// rule replaces what must differ between two clusters by a word.
type rule struct {
	pattern *regexp.Regexp
	with    string
}

const uuidText = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var rules = []rule{
	{regexp.MustCompile(uuidText + `-O\d+`), "OFFER"},
	{regexp.MustCompile(uuidText + `-S\d+`), "AGENT"},
	{regexp.MustCompile(uuidText + `-\d{4}`), "FRAMEWORK"},
	{regexp.MustCompile(uuidText), "UUID"},
	{regexp.MustCompile(`[A-Za-z0-9+/]{22}==`), "BYTES"},
	{regexp.MustCompile(`(localhost|127\.0\.0\.1|\[::1\]):\d+`), "ADDRESS"},
	{regexp.MustCompile(`/[^ "']*/(slaves|meta)/`), "WORK/$1/"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?`), "DATE"},
	{regexp.MustCompile(`\b1\.1[0-9]\.[0-9]+\b`), "VERSION"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "SHA"},
	{regexp.MustCompile(`\b\d+\.\d{6,}(secs|ms|us|ns|mins|hrs)\b`), "DURATION"},
}

// The recorded executor was a program of its own. Here its calls come from the test, and the
// container only waits for its end.
const (
	recordedExecutor = "exec python3 /opt/harness01/exec.py"
	standInExecutor  = "env > env.txt; until [ -e exit ]; do sleep 0.05; done"
)

// A program that does not exist runs and fails in Mesos; ours is not started, and the task says so. In its place
// stands one that fails.
const (
	recordedMissing = "/no/such/binary"
	standInMissing  = "/usr/bin/false"
)

// The drained task was to ignore SIGTERM, and died of it: the signal came before its shell had read that far.
const (
	recordedTrap = `trap "" TERM`
	standInTrap  = `trap - TERM `
)

// normal replaces ids, times, addresses and versions.
func normal(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "[/no/such/bin...]", "[/usr/bin/fal...]"), recordedMissing, standInMissing)
	text = strings.ReplaceAll(text, recordedExecutor, standInExecutor)
	text = strings.ReplaceAll(text, "exec python3 /tmp/peers/cap/exec.py", standInExecutor) // in a body that was recorded compressed
	text = strings.ReplaceAll(text, standInTrap, recordedTrap)
	text = sortedResources(text)
	for _, r := range rules {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	return text
}

// oneResource is one as Mesos prints it, in which parentheses are nested once.
const oneResource = `[a-z]+(?:\([^()]*(?:\([^()]*\)[^()]*)*\))+(?:\[[^];"]*\])?:[^;" ]+`

var resourceList = regexp.MustCompile(oneResource + `(?:; ` + oneResource + `)+`)

// sortedResources puts lists of resources in texts in order: they are sets.
func sortedResources(text string) string {
	return resourceList.ReplaceAllStringFunc(text, func(list string) string {
		parts := strings.Split(list, "; ")
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	})
}

// values are members whose text is the machine's or the operator's, not the protocol's.
var values = []string{"/master/log", "/slave/log", ".command.environment.variables[].value", ".build_user", ".git_sha", ".log_dir", ".data", ".cluster", ".work_dir", "].ports", ".unreserved_resources.ports",
	".used_resources.ports", ".offered_resources.ports", ".resources.ports", ".libprocess_ip",
	// The newest state at the time of an older update: how far the task was by then.
	".task_updated.state"}

// normalAt is normal, and nothing at all for a text that is not the protocol's.
func normalAt(path, text string) string {
	for _, suffix := range values {
		if strings.HasSuffix(path, suffix) {
			return "VALUE"
		}
	}
	return normal(text)
}

// isData says that what stands there is data: which options there are is each program's.
func isData(path string) bool {
	return strings.HasSuffix(path, ".flags") || strings.HasSuffix(path, ".flags[]")
}

// nameOf is a key, or "*" where keys are data: roles, for example.
func nameOf(path, key string) string {
	if strings.HasSuffix(path, ".reserved_resources") || strings.HasSuffix(path, ".reserved_resources_full") {
		return "ROLE"
	}
	return normal(key)
}

// onOffer says that what stands there is on offer at the moment of a query: what that is, and in how many offers, is
// the allocator's. An event with offers is compared whole.
func onOffer(path string) bool {
	if strings.HasPrefix(path, ".offers.") {
		return false
	}
	for _, suffix := range []string{".offers", ".offers[].resources", ".offers[].executor_ids", ".offered_resources", ".offered_resources_full", ".roles[].offered"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

// optional are members that a cluster may or may not have, by what was built into it.
func optional(path string) bool {
	if parent := path[:max(0, strings.LastIndexByte(path, '.'))]; onOffer(path) || onOffer(parent) {
		return true
	}
	for _, suffix := range []string{".frameworks[].resources.ports", ".offers[].resources.ports", ".git_sha", ".git_branch", ".git_tag", ".cluster", ".log_dir",
		// The first two are what is on offer. Mesos has the last two in one update and not in the next: they come from a race of its own.
		".container_status.executor_pid", ".container_status.network_infos"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}
