package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) apiCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "api METHOD PATH | api CALL",
		Short: "Send a request to the master and print its answer",
		Long: `Send any request to the leading master. METHOD PATH is any endpoint; CALL is a call of the operator
API, with its fields as JSON in --data. The exit status is 0 for an answer of 2xx.`,
		Example: `  agora api GET /state
  agora api GET_AGENTS
  agora api TEARDOWN --data '{"framework_id":{"value":"ID"}}'
  agora api POST /api/v1 --data @call.json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.dataOf(data)
			if err != nil {
				return err
			}
			method, path := "POST", "/api/v1"
			if len(args) == 2 {
				method, path = strings.ToUpper(args[0]), "/"+strings.TrimPrefix(args[1], "/")
			} else if body, err = callBody(args[0], body); err != nil {
				return err
			}
			answer, err := a.operator(a.masterAddr()).Exchange(cmd.Context(), method, path, body)
			if err != nil {
				return err
			}
			if answer.Code >= 300 {
				return fmt.Errorf("%s %s: %d %s", method, path, answer.Code, strings.TrimSpace(string(answer.Body)))
			}
			return a.printBody(answer.Body)
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "", "body as JSON; @FILE reads it from a file, @- from standard input")
	return cmd
}

// dataOf is the body that --data means; nil without one.
func (a *App) dataOf(data string) ([]byte, error) {
	name, isFile := strings.CutPrefix(data, "@")
	switch {
	case data == "":
		return nil, nil
	case data == "@-":
		return io.ReadAll(a.In)
	case isFile:
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("--data=%s: %v", data, err)
		}
		return body, nil
	}
	return []byte(data), nil
}

// callBody makes the call of a type; its fields stand in the member that is named like it.
func callBody(kind string, fields []byte) ([]byte, error) {
	kind = strings.ToUpper(strings.ReplaceAll(kind, "-", "_"))
	call := map[string]any{"type": kind}
	if fields != nil {
		var value any
		if err := json.Unmarshal(fields, &value); err != nil {
			return nil, usagef("--data is not JSON: %v", err)
		}
		call[strings.ToLower(kind)] = value
	}
	return json.Marshal(call)
}

// printBody prints JSON indented, and anything else as it is.
func (a *App) printBody(body []byte) error {
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") == nil {
		body = pretty.Bytes()
	}
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body, '\n')
	}
	_, err := a.Out.Write(body)
	return err
}
