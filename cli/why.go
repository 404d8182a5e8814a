package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agora.dev/agora/api/agora/why"
	"agora.dev/agora/client/operator"
)

func (a *App) whyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "why",
		Short: "What keeps something from being offered what it needs",
		Long: `What keeps a framework, the frameworks of a role, or one like a task from being offered what it needs: agent by agent, the nearest first,
with the smallest change that would help.`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(
		a.whyOf("framework FRAMEWORK", "Why a framework is not offered something", "  agora why framework marathon --need cpus=2,mem=1024", a.completeFrameworks,
			func(ctx context.Context, name string, q url.Values) error {
				info, err := a.findFramework(ctx, name)
				q.Set("framework", info.GetId().GetValue())
				return err
			}),
		a.whyOf("role ROLE", "Why the frameworks of a role are not offered something", "  agora why role web --need cpus=4 -o wide", a.completeRole,
			func(_ context.Context, name string, q url.Values) error { q.Set("role", name); return nil }),
		a.whyOf("task TASK", "How a task is, and whether one like it could be launched", "  agora why task web.1 --agents 50", a.completeTasks,
			func(_ context.Context, name string, q url.Values) error { q.Set("task", name); return nil }))
	return cmd
}

// whyOf is one of the commands; about puts into a question what it is about.
func (a *App) whyOf(use, short, example string, complete func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective),
	about func(ctx context.Context, name string, q url.Values) error) *cobra.Command {
	var need []string
	var agent string
	var agents int
	cmd := &cobra.Command{
		Use:               use,
		Short:             short,
		Example:           example,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"agents": {strconv.Itoa(agents)}}
			if agent != "" {
				q.Set("agent", agent)
			}
			amounts, err := parseAmounts("need", need)
			if err != nil {
				return err
			}
			var pairs []string
			for name, amount := range amounts {
				pairs = append(pairs, fmt.Sprintf("%s:%g", name, amount.GetValue()))
			}
			q.Set("need", strings.Join(pairs, ";"))
			if err := about(cmd.Context(), args[0], q); err != nil {
				return err
			}
			return a.why(cmd.Context(), q)
		},
	}
	cmd.Flags().StringSliceVar(&need, "need", nil, "what is needed, NAME=AMOUNT,...; ports=2 for two ports (default: anything that is worth an offer)")
	cmd.Flags().StringVar(&agent, "agent", "", "look at the agent with this ID only")
	cmd.Flags().IntVar(&agents, "agents", 10, "list as many agents of each role")
	a.addOutput(cmd)
	return cmd
}

func (a *App) why(ctx context.Context, q url.Values) error {
	body, err := a.masterGet(ctx, "/api/agora/why?"+q.Encode())
	if err != nil {
		return err
	}
	var answer why.Answer
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("answer of master %s: %w", a.masterAddr(), err)
	}
	if a.output == "json" || a.output == "yaml" {
		return a.print(table{Value: answer})
	}
	return a.printWhy(answer)
}

// printWhy says the cause and the remedy first.
func (a *App) printWhy(answer why.Answer) error {
	if t := answer.Task; t != nil {
		fmt.Fprintf(a.Out, "Task %s, %s: %s\n", t.ID, t.State, t.Summary)
		if t.Message != "" {
			fmt.Fprintf(a.Out, "%s\n", strings.TrimSpace(t.Reason+" "+t.Message))
		}
	}
	for _, f := range answer.Frameworks {
		for _, r := range f.Roles {
			fmt.Fprintf(a.Out, "\n%s in role %s: %s\n", f.Name, r.Role, r.Summary)
			if r.Change != "" {
				fmt.Fprintf(a.Out, "What would help: %s\n", r.Change)
			}
			t := table{Columns: []string{"AGENT", "VERDICT", "LACKS", "REASON", "WHAT WOULD HELP", "ID"}, Wide: 2}
			for _, v := range r.Agents {
				t.Rows = append(t.Rows, []string{v.Hostname, v.Verdict, amountList(v.Lacks), v.Reason, v.Change, v.ID})
			}
			if len(t.Rows) > 0 {
				if err := a.print(t); err != nil {
					return err
				}
			}
		}
	}
	if answer.More > 0 {
		fmt.Fprintf(a.Out, "\n%d more frameworks have the role; ask for one of them: agora why framework\n", answer.More)
	}
	return nil
}

// masterGet reads an endpoint of the master.
func (a *App) masterGet(ctx context.Context, path string) ([]byte, error) {
	body, err := a.operator(a.masterAddr()).Get(ctx, path)
	var refused *operator.StatusError
	if errors.As(err, &refused) && refused.Code == http.StatusNotFound {
		return nil, notFoundf("%s", refused.Text)
	}
	if err != nil {
		return nil, fmt.Errorf("master %s: %w", a.masterAddr(), err)
	}
	return body, nil
}

func (a *App) frameworkOffers() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "offers FRAMEWORK",
		Short:             "How the last offers to a framework ended",
		Example:           "  agora framework offers marathon -o wide",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeFrameworks,
		RunE: func(cmd *cobra.Command, args []string) error {
			info, err := a.findFramework(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			body, err := a.masterGet(cmd.Context(), "/api/agora/offers?framework="+url.QueryEscape(info.GetId().GetValue()))
			if err != nil {
				return err
			}
			return a.printOffers(body)
		},
	}
	a.addOutput(cmd)
	return cmd
}

func (a *App) printOffers(body []byte) error {
	var answer why.Offers
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("answer of master %s: %w", a.masterAddr(), err)
	}
	t := table{Columns: []string{"SENT", "AGENT", "ROLE", "OUTCOME", "AFTER", "REFUSED FOR", "OPERATIONS", "RESOURCES", "OFFER", "PROBLEM"}, Wide: 3, Value: answer.Offers}
	for _, o := range answer.Offers {
		after, refused := "-", "-"
		if o.Ended > 0 {
			after = (time.Duration((o.Ended-o.Sent)*1000) * time.Millisecond).String()
		}
		if o.Refusal > 0 {
			refused = trim(o.Refusal) + "s"
		}
		operations := strings.Join(o.Operations, ",")
		if operations == "" {
			operations = "-"
		}
		t.Rows = append(t.Rows, []string{time.UnixMilli(int64(o.Sent * 1000)).Format("15:04:05.000"), o.Hostname, o.Role, o.Outcome, after, refused, operations,
			amountList(o.Resources), o.ID, o.Problem})
	}
	return a.print(t)
}
