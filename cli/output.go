package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// formats are the values of -o.
var formats = []string{"table", "wide", "json", "yaml"}

// addOutput gives a command the flag -o.
func (a *App) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&a.output, "output", "o", "table", "table, wide, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cmd.PreRunE = func(*cobra.Command, []string) error {
		for _, format := range formats {
			if a.output == format {
				return nil
			}
		}
		return usagef("unknown output format %q; use one of %s", a.output, strings.Join(formats, ", "))
	}
}

// table is a result for people; Value is the same for scripts.
type table struct {
	Columns []string
	// Wide is how many of the columns, counted from the end, are shown only by -o wide.
	Wide  int
	Rows  [][]string
	Value any
}

// print writes t in the format that the user chose.
func (a *App) print(t table) error { return a.printTo(a.Out, t) }

func (a *App) printTo(out io.Writer, t table) error {
	switch a.output {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(t.Value)
	case "yaml":
		text, err := yaml.Marshal(t.Value)
		if err != nil {
			return err
		}
		_, err = out.Write(text)
		return err
	}
	shown := len(t.Columns)
	if a.output != "wide" {
		shown -= t.Wide
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(t.Columns[:shown], "\t"))
	for _, row := range t.Rows {
		fmt.Fprintln(w, strings.Join(row[:shown], "\t"))
	}
	return w.Flush()
}
