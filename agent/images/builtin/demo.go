package builtin

import (
	"cmp"
	"fmt"
	"html"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

func demoApplet(name string) applet {
	if name == "demo" {
		return demo
	}
	return nil
}

// demoEnvironment are the prefixes of the variables that the demo shows: those that
// describe the task, and none that could hold a secret.
var demoEnvironment = [...]string{"PORT", "HOST=", "HOSTNAME=", "MESOS_TASK_ID=", "MESOS_FRAMEWORK_ID=", "MESOS_CONTAINER_ID=",
	"MESOS_SLAVE_ID=", "MESOS_AGENT_ID=", "MARATHON_APP_ID=", "MARATHON_APP_VERSION=", "TASK_ID="}

const demoPage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%[1]s - Agora demo</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem;color:#1c2530;background:#f6f7f9}
h1{font-size:1.6rem;margin:0}b{font-size:3rem;display:block}section{background:#fff;border-radius:.6rem;padding:1.2rem 1.5rem;margin-top:1rem;box-shadow:0 1px 3px #0002}
td{padding:.15rem 1rem .15rem 0;vertical-align:top;word-break:break-all}td:first-child{color:#667}</style>
<h1>It runs on Agora</h1><p>This page comes from a container made of nothing but the agora binary.</p>
<section><b>%[2]d</b>requests answered by this instance</section><section><table>
<tr><td>host</td><td>%[1]s</td></tr><tr><td>task</td><td>%[3]s</td></tr><tr><td>up</td><td>%[4]s</td></tr>%[5]s</table></section></html>
`

// demo serves a page about its own task; /health answers ok, /hostname its name.
func demo(p *proc) int {
	var count atomic.Int64
	start := time.Now()
	host, _ := os.Hostname()
	task := cmp.Or(p.getenv("MESOS_TASK_ID"), p.getenv("TASK_ID"), "unknown")
	rows := ""
	for _, entry := range p.env {
		for _, prefix := range demoEnvironment {
			if key, value, _ := strings.Cut(entry, "="); strings.HasPrefix(entry, prefix) {
				rows += "<tr><td>" + html.EscapeString(key) + "</td><td>" + html.EscapeString(value) + "</td></tr>"
				break
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, host) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		n := count.Add(1)
		fmt.Fprintf(p.stdout, "demo: request %d from %s\n", n, r.RemoteAddr)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, demoPage, html.EscapeString(host), n, html.EscapeString(task), time.Since(start).Round(time.Second), rows)
	})
	return p.serve(p.port(), mux)
}
