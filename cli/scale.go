package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) scaleCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "scale APP N",
		Short:   "Change how many instances an app has",
		Example: "  agora scale web 5",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 0 {
				return usagef("scale %s %q: want how many instances, a number from 0", args[0], args[1])
			}
			err = a.askMarathon(cmd.Context(), http.MethodPut, appPath(args[0]), map[string]any{"instances": n}, nil)
			if notFound(err) {
				return notFoundf("no app %q; agora run -d --name %s makes one", args[0], args[0])
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "/%s %d\n", strings.Trim(args[0], "/"), n)
			return nil
		},
	}
}
