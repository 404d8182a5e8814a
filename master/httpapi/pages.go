package httpapi

import (
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// help has one sentence for each endpoint.
var help = map[string]string{
	"/api/v1":               "The operator API: calls in JSON or protobuf, by POST.",
	"/api/v1/scheduler":     "The scheduler API: SUBSCRIBE opens a stream of events, other calls name it by Mesos-Stream-Id.",
	"/api/agora/offers":     "How the last offers to the framework of the parameter framework ended.",
	"/api/agora/why":        "What keeps a framework, the frameworks of a role, or a task from being offered what it needs; the parameters are framework, role, task, need, agent and agents.",
	"/create-volumes":       "Creates persistent volumes on reserved resources of an agent, by POST.",
	"/destroy-volumes":      "Destroys persistent volumes of an agent, by POST.",
	"/files/browse":         "Lists what is below the path of the parameter path.",
	"/files/debug":          "Lists which path stands for which file of the machine.",
	"/files/download":       "Gives the whole file of the parameter path.",
	"/files/read":           "Gives a part of the file of the parameter path, by offset and length; its size without an offset.",
	"/flags":                "The options that this master was started with.",
	"/frameworks":           "Frameworks with their tasks and offers; the parameter framework_id chooses one.",
	"/health":               "Answers 200 while this master runs.",
	"/help":                 "This page; /help/master/state explains one endpoint.",
	"/logging/toggle":       "The level of the log, or a new one for a time, by the parameters level and duration.",
	"/machine/down":         "Brings machines with a maintenance schedule down, by POST.",
	"/machine/up":           "Brings machines up again, by POST.",
	"/maintenance/schedule": "The maintenance schedule, or a new one by POST.",
	"/maintenance/status":   "The state of machines that have a maintenance schedule.",
	"/metrics/prometheus":   "The figures of /metrics/snapshot in the format of Prometheus.",
	"/metrics/snapshot":     "All figures; the parameter timeout bounds the time for collecting them.",
	"/quota":                "Quotas by role: GET, POST to set one, DELETE to remove one.",
	"/redirect":             "Points to the leading master.",
	"/reserve":              "Reserves resources of an agent, by POST.",
	"/roles":                "Roles with their weight, quota, frameworks and resources.",
	"/slaves":               "Agents; the parameter slave_id chooses one.",
	"/state":                "Everything: agents, frameworks, tasks, executors; the parameter jsonp names a function.",
	"/state-summary":        "Agents and frameworks with counts of tasks by state.",
	"/system/stats":         "Load and memory of the machine.",
	"/tasks":                "Tasks; the parameters are limit, offset, order (asc or des), framework_id and task_id.",
	"/teardown":             "Ends a framework and all its tasks, by POST of frameworkId.",
	"/unreserve":            "Unreserves resources of an agent, by POST.",
	"/version":              "The version of this master.",
	"/weights":              "Weights by role, or new ones by PUT.",
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1><p>{{.Text}}</p>
<dl>{{range .Entries}}<dt><a href="{{.Link}}">{{.Name}}</a></dt><dd>{{.Text}}</dd>{{end}}</dl></body></html>
`))

type entry struct{ Link, Name, Text string }

// showPage answers with a page for people.
func showPage(w http.ResponseWriter, r *http.Request, title, about string, entries []entry) {
	var body strings.Builder
	if err := page.Execute(&body, map[string]any{"Title": title, "Text": about, "Entries": entries}); err != nil {
		text(w, http.StatusInternalServerError, "Internal error")
		return
	}
	send(w, r, "text/html", []byte(body.String()))
}

// root is what a browser sees first.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	name := s.cfg.Cluster
	if name == "" {
		name = "unnamed"
	}
	showPage(w, r, "Agora master", "Cluster: "+name+". Version "+s.cfg.Version.Version+".", s.entries("/state-summary", "/metrics/snapshot", "/flags", "/help"))
}

// entries are links to endpoints with what they are for.
func (s *Server) entries(paths ...string) []entry {
	var list []entry
	for _, path := range paths {
		if s.router.routes[path] != nil {
			list = append(list, entry{path, path, help[path]})
		}
	}
	return list
}

// help is /help, and /help/ENDPOINT in any of the endpoint's spellings.
func (s *Server) help(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/master"), "/help")
	if path == "" || path == "/" {
		showPage(w, r, "Help", "Endpoints of this master.", s.entries(slices.Sorted(maps.Keys(help))...))
		return
	}
	for _, name := range []string{path, strings.TrimPrefix(path, "/master"), strings.TrimSuffix(path, ".json")} {
		if sentence := help[name]; sentence != "" && s.router.routes[name] != nil {
			showPage(w, r, "Help for "+name, sentence, s.entries(name))
			return
		}
	}
	text(w, http.StatusNotFound, "404 Not Found.")
}

// systemStats is /system/stats.json.
func (s *Server) systemStats(w http.ResponseWriter, r *http.Request) {
	figures := map[string]float64{}
	if s.cfg.System != nil {
		s.cfg.System(func(name string, value float64) { figures[strings.TrimPrefix(name, "system/")] = value })
	}
	view(w, r, func(out *writer) {
		out.element(func() {
			out.float("avg_load_15min", figures["load_15min"])
			out.float("avg_load_1min", figures["load_1min"])
			out.float("avg_load_5min", figures["load_5min"])
			out.int("cpus_total", int64(figures["cpus_total"]))
			out.int("mem_free_bytes", int64(figures["mem_free_bytes"]))
			out.int("mem_total_bytes", int64(figures["mem_total_bytes"]))
		})
	})
}
