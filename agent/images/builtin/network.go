package builtin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

func networkApplet(name string) applet {
	switch name {
	case "wget":
		return wget
	case "nslookup":
		return nslookup
	case "ip":
		return ip
	case "httpd":
		return httpd
	}
	return nil
}

// wget fetches an address: wget [-q] [-O FILE|-] URL.
func wget(p *proc) int {
	output, url := "", ""
	for i := 0; i < len(p.args); i++ {
		switch arg := p.args[i]; {
		case arg == "-O" && i+1 < len(p.args):
			i++
			output = p.args[i]
		case strings.HasPrefix(arg, "-O"):
			output = arg[2:]
		case arg == "-qO-":
			output = "-"
		case strings.HasPrefix(arg, "-"):
		default:
			url = arg
		}
	}
	if url == "" {
		return p.usage("[-q] [-O FILE|-] URL")
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	request, err := http.NewRequestWithContext(p.ctx, http.MethodGet, url, nil)
	if err != nil {
		return p.fail(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return p.fail(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		return p.fail(errors.New("server answered " + response.Status))
	}
	target := p.stdout
	if output != "-" {
		name := cmp.Or(output, path.Base(request.URL.Path))
		if name == "/" || name == "." {
			name = "index.html"
		}
		file, err := os.Create(p.path(name))
		if err != nil {
			return p.fail(err)
		}
		defer file.Close()
		target = file
	}
	if _, err := io.Copy(target, response.Body); err != nil {
		return p.fail(err)
	}
	return 0
}

func nslookup(p *proc) int {
	if len(p.args) == 0 {
		return p.usage("NAME [SERVER]")
	}
	resolver := net.DefaultResolver
	if len(p.args) > 1 {
		server := p.args[1]
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(server, "53")
		}
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
	}
	addresses, err := resolver.LookupHost(p.ctx, p.args[0])
	if err != nil {
		return p.fail(err)
	}
	p.printf("Name: %s\n", p.args[0])
	for _, address := range addresses {
		p.printf("Address: %s\n", address)
	}
	return 0
}

func ip(p *proc) int {
	if len(p.args) > 0 && !strings.HasPrefix("address", p.args[0]) {
		return p.usage("addr")
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return p.fail(err)
	}
	for _, i := range interfaces {
		p.printf("%d: %s: <%s> mtu %d\n", i.Index, i.Name, strings.ToUpper(i.Flags.String()), i.MTU)
		if len(i.HardwareAddr) > 0 {
			p.printf("    link %s\n", i.HardwareAddr)
		}
		addresses, _ := i.Addrs()
		for _, address := range addresses {
			p.printf("    inet %s\n", address)
		}
	}
	return 0
}

// httpd serves files: httpd [-p PORT] [-h DIRECTORY].
func httpd(p *proc) int {
	port, dir := p.port(), p.dir
	for i := 0; i+1 < len(p.args); i += 2 {
		switch p.args[i] {
		case "-p":
			port = p.args[i+1]
		case "-h":
			dir = p.path(p.args[i+1])
		default:
			return p.usage("[-p PORT] [-h DIRECTORY]")
		}
	}
	return p.serve(port, http.FileServer(http.Dir(dir)))
}

// port is what the task was given.
func (p *proc) port() string { return cmp.Or(p.getenv("PORT0"), p.getenv("PORT"), "8080") }

// serve answers until SIGTERM, then lets what runs come to its end.
func (p *proc) serve(port string, handler http.Handler) int {
	ctx, stop := p.terminated()
	defer stop()
	listener, err := net.Listen("tcp", ":"+strings.TrimPrefix(port, ":"))
	if err != nil {
		return p.fail(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	p.printf("%s: listening on %s\n", p.name, listener.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return p.fail(err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	<-ended
	fmt.Fprintf(p.stdout, "%s: stopped\n", p.name)
	if err != nil {
		return p.fail(err)
	}
	return 0
}
