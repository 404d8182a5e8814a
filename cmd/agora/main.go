// Command agora is everything: the roles of a machine, the command line, and the applets
// of builtin images.
package main

import (
	"context"
	"os"

	"agora.dev/agora/cli"
)

// version is set by the build.
var version = "dev"

func main() {
	if code, is := applet(os.Args); is {
		os.Exit(code)
	}
	os.Exit(cli.Main(context.Background(), cli.NewApp(version), os.Args[1:]))
}
