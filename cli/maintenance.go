package cli

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agora.dev/agora/api/mesos/v1/maintenance"
	masterpb "agora.dev/agora/api/mesos/v1/master"

	mesos "agora.dev/agora/api/mesos/v1"
)

func (a *App) maintenanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "maintenance",
		Short: "Plan the maintenance of machines",
		Long: `A machine goes through three modes: UP; DRAINING, once it is in the schedule: frameworks
are asked to leave by inverse offers, and offers tell when it goes; DOWN, after start: its agents
are shut down and may not register. After stop it is UP and out of the schedule.

MACHINE is a hostname of an agent, an agent's ID, or HOSTNAME/IP.`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(a.maintenanceStatusCommand(), a.maintenanceScheduleCommand(), a.maintenanceUnscheduleCommand(),
		a.machinesCommand("start", "Take machines of the schedule down", func(ids []*mesos.MachineID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_START_MAINTENANCE.Enum(), StartMaintenance: &masterpb.Call_StartMaintenance{Machines: ids}}
		}),
		a.machinesCommand("stop", "Take machines up again that are down", func(ids []*mesos.MachineID) *masterpb.Call {
			return &masterpb.Call{Type: masterpb.Call_STOP_MAINTENANCE.Enum(), StopMaintenance: &masterpb.Call_StopMaintenance{Machines: ids}}
		}))
	return cmd
}

// plannedMachine is a machine as scripts see it.
type plannedMachine struct {
	Hostname string   `json:"hostname,omitempty"`
	IP       string   `json:"ip,omitempty"`
	Mode     string   `json:"mode"`
	Start    string   `json:"start"` // RFC 3339
	Duration string   `json:"duration,omitempty"`
	Answers  []answer `json:"answers,omitempty"`
}

// answer is what a framework said to an inverse offer.
type answer struct {
	Framework string `json:"framework"`
	Status    string `json:"status"`
	At        string `json:"at"` // RFC 3339
}

func (a *App) maintenanceStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Aliases: []string{"ls"}, Short: "List the machines of the schedule, and what frameworks say",
		Example: "  agora maintenance status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.printMaintenance(cmd.Context()) },
	}
	a.addOutput(cmd)
	return cmd
}

func (a *App) printMaintenance(ctx context.Context) error {
	schedule, err := a.schedule(ctx)
	if err != nil {
		return err
	}
	response, err := a.callMaster(ctx, masterpb.Call_GET_MAINTENANCE_STATUS)
	if err != nil {
		return err
	}
	values := plannedMachines(schedule, response.GetGetMaintenanceStatus().GetStatus())
	t := table{Columns: []string{"MACHINE", "IP", "MODE", "START", "DURATION", "ANSWERS"}, Value: values}
	for _, m := range values {
		var answers []string
		for _, one := range m.Answers {
			answers = append(answers, one.Framework+":"+one.Status)
		}
		t.Rows = append(t.Rows, []string{m.Hostname, m.IP, m.Mode, m.Start, m.Duration, strings.Join(answers, " ")})
	}
	return a.print(t)
}

func plannedMachines(schedule *maintenance.Schedule, status *maintenance.ClusterStatus) []plannedMachine {
	values := []plannedMachine{}
	for _, window := range schedule.GetWindows() {
		for _, id := range window.GetMachineIds() {
			m := plannedMachine{Hostname: id.GetHostname(), IP: id.GetIp(), Mode: "DRAINING", Start: timeText(window.GetUnavailability().GetStart())}
			if d := window.GetUnavailability().GetDuration(); d != nil {
				m.Duration = time.Duration(d.GetNanoseconds()).String()
			}
			if slices.ContainsFunc(status.GetDownMachines(), func(down *mesos.MachineID) bool { return sameMachine(down, id) }) {
				m.Mode = "DOWN"
			}
			for _, draining := range status.GetDrainingMachines() {
				if !sameMachine(draining.GetId(), id) {
					continue
				}
				for _, s := range draining.GetStatuses() {
					m.Answers = append(m.Answers, answer{s.GetFrameworkId().GetValue(), s.GetStatus().String(), timeText(s.GetTimestamp())})
				}
			}
			values = append(values, m)
		}
	}
	return values
}

func timeText(t *mesos.TimeInfo) string {
	return time.Unix(0, t.GetNanoseconds()).UTC().Format(time.RFC3339)
}

func sameMachine(a, b *mesos.MachineID) bool {
	return strings.EqualFold(a.GetHostname(), b.GetHostname()) && a.GetIp() == b.GetIp()
}

func (a *App) schedule(ctx context.Context) (*maintenance.Schedule, error) {
	response, err := a.callMaster(ctx, masterpb.Call_GET_MAINTENANCE_SCHEDULE)
	if err != nil {
		return nil, err
	}
	return response.GetGetMaintenanceSchedule().GetSchedule(), nil
}

func (a *App) maintenanceScheduleCommand() *cobra.Command {
	var start string
	var duration time.Duration
	cmd := &cobra.Command{
		Use: "schedule MACHINE...", Short: "Put machines into the schedule, or change their time",
		Example:           "  agora maintenance schedule web-7 web-8 --start 2h --duration 30m",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parseStart(start, time.Now())
			if err != nil {
				return err
			}
			window := &maintenance.Window{Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: ptr(at.UnixNano())}}}
			if duration > 0 {
				window.Unavailability.Duration = &mesos.DurationInfo{Nanoseconds: ptr(int64(duration))}
			}
			return a.reschedule(cmd.Context(), args, window)
		},
	}
	cmd.Flags().StringVar(&start, "start", "0s", "from when: a duration from now, or a time such as 2027-01-31T22:00:00Z")
	cmd.Flags().DurationVar(&duration, "duration", 0, "for how long; 0 says nothing about the end")
	a.addOutput(cmd)
	return cmd
}

// parseStart reads a time, or a duration from now.
func parseStart(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("--start %q: want a duration such as 2h, or a time such as 2027-01-31T22:00:00Z", text)
	}
	return at, nil
}

func (a *App) maintenanceUnscheduleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unschedule MACHINE...", Short: "Take machines out of the schedule",
		Example:           "  agora maintenance unschedule web-8",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeMachines,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.reschedule(cmd.Context(), args, nil) },
	}
	a.addOutput(cmd)
	return cmd
}

// reschedule moves machines into the window; nil takes them out. The rest of the schedule stays.
func (a *App) reschedule(ctx context.Context, names []string, window *maintenance.Window) error {
	schedule, err := a.schedule(ctx)
	if err != nil {
		return err
	}
	ids, err := a.findMachines(ctx, names, schedule)
	if err != nil {
		return err
	}
	next := &maintenance.Schedule{}
	for _, old := range schedule.GetWindows() {
		kept := slices.DeleteFunc(slices.Clone(old.GetMachineIds()), func(id *mesos.MachineID) bool {
			return slices.ContainsFunc(ids, func(named *mesos.MachineID) bool { return sameMachine(named, id) })
		})
		if len(kept) > 0 {
			next.Windows = append(next.Windows, &maintenance.Window{MachineIds: kept, Unavailability: old.Unavailability})
		}
	}
	if window != nil {
		window.MachineIds = ids
		next.Windows = append(next.Windows, window)
	}
	call := &masterpb.Call{Type: masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(),
		UpdateMaintenanceSchedule: &masterpb.Call_UpdateMaintenanceSchedule{Schedule: next}}
	if _, err := a.operator(a.masterAddr()).Master(ctx, call); err != nil {
		return fmt.Errorf("schedule maintenance: %w", err)
	}
	return a.printMaintenance(ctx)
}

func (a *App) machinesCommand(verb, short string, call func([]*mesos.MachineID) *masterpb.Call) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " MACHINE...", Short: short,
		Example:           "  agora maintenance " + verb + " web-7",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			schedule, err := a.schedule(cmd.Context())
			if err != nil {
				return err
			}
			ids, err := a.findMachines(cmd.Context(), args, schedule)
			if err != nil {
				return err
			}
			if _, err := a.operator(a.masterAddr()).Master(cmd.Context(), call(ids)); err != nil {
				return fmt.Errorf("%s maintenance: %w", verb, err)
			}
			return a.printMaintenance(cmd.Context())
		},
	}
	a.addOutput(cmd)
	return cmd
}

// findMachines reads names: as in the schedule first, for the agents of a machine that is down are
// not listed; then as agents; HOSTNAME/IP is taken as it is.
func (a *App) findMachines(ctx context.Context, names []string, schedule *maintenance.Schedule) ([]*mesos.MachineID, error) {
	v, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	var ids []*mesos.MachineID
	for _, name := range names {
		id := scheduledMachine(name, schedule)
		if id == nil {
			id = v.machine(name)
		}
		if hostname, ip, found := strings.Cut(name, "/"); id == nil && found {
			id = &mesos.MachineID{Hostname: &hostname, Ip: &ip}
		}
		if id == nil {
			return nil, notFoundf("no machine %q; agora node ls lists those with agents, others are written HOSTNAME/IP", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func scheduledMachine(name string, schedule *maintenance.Schedule) *mesos.MachineID {
	for _, window := range schedule.GetWindows() {
		for _, id := range window.GetMachineIds() {
			if name == id.GetHostname() || name == id.GetIp() || name == id.GetHostname()+"/"+id.GetIp() {
				return id
			}
		}
	}
	return nil
}

// machine is that of the agent with a hostname or ID; nil for none.
func (v *view) machine(name string) *mesos.MachineID {
	for _, agent := range v.Agents {
		info := agent.GetAgentInfo()
		if name != info.GetHostname() && name != info.GetId().GetValue() {
			continue
		}
		id := &mesos.MachineID{Hostname: ptr(info.GetHostname())}
		if _, address, found := strings.Cut(agent.GetPid(), "@"); found {
			if ip, _, err := net.SplitHostPort(address); err == nil {
				id.Ip = &ip
			}
		}
		return id
	}
	return nil
}

// completeMachines offers hostnames of agents and machines of the schedule to the shell.
func (a *App) completeMachines(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if v, err := a.look(cmd.Context()); err == nil {
		for _, agent := range v.Agents {
			names = append(names, agent.GetAgentInfo().GetHostname())
		}
	}
	if schedule, err := a.schedule(cmd.Context()); err == nil {
		for _, window := range schedule.GetWindows() {
			for _, id := range window.GetMachineIds() {
				names = append(names, id.GetHostname())
			}
		}
	}
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return slices.Contains(args, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}
