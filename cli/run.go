package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// runOptions is the command line of agora run.
type runOptions struct {
	Name      string
	Image     string
	Command   []string
	Instances int
	CPUs      float64
	MemMiB    float64
	DiskMiB   float64
	Env       map[string]string
	Ports     []publish
	Volumes   []volume
	User      string
	Remove    bool
	Detach    bool
	Role      string
}

// volume is HOST:CONTAINER[:ro].
type volume struct {
	Host, Container string
	ReadOnly        bool
}

func (a *App) runCommand() *cobra.Command {
	var (
		o                   runOptions
		mem, disk           string
		env, ports, volumes []string
	)
	cmd := &cobra.Command{
		Use:   "run IMAGE [-- COMMAND ARG...] | run -- COMMAND ARG...",
		Short: "Run an image or a command on the cluster",
		Long: `Run an image, or a command on the host's own root file system.

In the foreground the output is streamed here, signals are forwarded, and the exit
status is the task's. With --detach or --instances the orchestrator owns the app:
it is restarted when it dies, until agora kill NAME.`,
		Example: `  agora run builtin/shell -- echo hello
  agora run --cpus 0.5 --mem 256m -p 0 -- sh -c 'exec python3 -m http.server $PORT0'
  agora run -p 8081:80 builtin/demo
  agora run --detach --instances 3 --name web -p 0 builtin/demo`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.fill(args, cmd.ArgsLenAtDash()); err != nil {
				return err
			}
			if err := o.parse(mem, disk, env, ports, volumes, a.Env); err != nil {
				return err
			}
			if o.Detach || cmd.Flags().Changed("instances") {
				return a.runDetached(cmd.Context(), o)
			}
			return a.runForeground(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "name of the task or app (default: from the image or command)")
	flags.IntVar(&o.Instances, "instances", 1, "how many; implies --detach")
	flags.Float64Var(&o.CPUs, "cpus", 0.1, "CPUs of each instance")
	flags.StringVar(&mem, "mem", "64m", "memory of each instance: 64m, 2g, or a number of MiB")
	flags.StringVar(&disk, "disk", "0", "disk of each instance: 100m, 2g, or a number of MiB")
	flags.StringArrayVarP(&env, "env", "e", nil, "NAME=VALUE, or NAME to pass it on; may be repeated")
	flags.StringArrayVarP(&ports, "publish", "p", nil, "PORT of the agent's ports resource, 0 for any; or PORT:CONTAINERPORT[/udp] to map it; the command finds where to listen in $PORT0, $PORT1, ...")
	flags.StringArrayVarP(&volumes, "volume", "v", nil, "HOST:CONTAINER[:ro]; may be repeated")
	flags.StringVarP(&o.User, "user", "u", "", "user of the command")
	flags.BoolVar(&o.Remove, "rm", false, "remove the sandbox, output included, as soon as the task has ended")
	flags.BoolVarP(&o.Detach, "detach", "d", false, "give it to the orchestrator and return")
	flags.StringVar(&o.Role, "role", "*", "role whose offers to use, in the foreground")
	return cmd
}

// fill splits the arguments at "--" into image and command.
func (o *runOptions) fill(args []string, dash int) error {
	before := args
	if dash >= 0 {
		before, o.Command = args[:dash], args[dash:]
	}
	switch {
	case len(before) > 1 && dash < 0:
		return usagef("unexpected %q after the image; put the command behind --: agora run %s -- %s",
			before[1], before[0], strings.Join(before[1:], " "))
	case len(before) > 1:
		return usagef("one image, not %d: %s", len(before), strings.Join(before, " "))
	case len(before) == 0 && len(o.Command) == 0:
		return usagef("nothing to run; name an image, or a command behind --, as in agora run -- echo hello")
	case len(before) == 1:
		o.Image = before[0]
	}
	if o.Name == "" {
		o.Name = defaultName(o.Image, o.Command)
	}
	return nil
}

func (o *runOptions) parse(mem, disk string, env, ports, volumes []string, lookup func(string) string) (err error) {
	if o.MemMiB, err = parseMiB("--mem", mem); err != nil {
		return err
	}
	if o.DiskMiB, err = parseMiB("--disk", disk); err != nil {
		return err
	}
	if o.CPUs <= 0 {
		return usagef("--cpus %v: must be above 0", o.CPUs)
	}
	if o.MemMiB < 4 {
		return usagef("--mem %s: at least 4m", mem)
	}
	if o.Instances < 0 {
		return usagef("--instances %d: must not be negative", o.Instances)
	}
	o.Env = map[string]string{}
	for _, entry := range env {
		name, value, given := strings.Cut(entry, "=")
		if name == "" {
			return usagef("--env %q: want NAME=VALUE", entry)
		}
		if !given {
			value = lookup(name)
		}
		o.Env[name] = value
	}
	for _, text := range ports {
		p, err := parsePublish(text)
		if err != nil {
			return err
		}
		o.Ports = append(o.Ports, p)
	}
	if err := o.checkPorts(); err != nil {
		return err
	}
	for _, text := range volumes {
		v, err := parseVolume(text)
		if err != nil {
			return err
		}
		o.Volumes = append(o.Volumes, v)
	}
	return nil
}

func parseVolume(text string) (volume, error) {
	parts := strings.Split(text, ":")
	v := volume{}
	switch {
	case len(parts) == 3 && (parts[2] == "ro" || parts[2] == "rw"):
		v.ReadOnly = parts[2] == "ro"
	case len(parts) != 2:
		return v, usagef("--volume %q: want HOST:CONTAINER or HOST:CONTAINER:ro", text)
	}
	v.Host, v.Container = parts[0], parts[1]
	if !strings.HasPrefix(v.Host, "/") || !strings.HasPrefix(v.Container, "/") {
		return v, usagef("--volume %q: both paths must be absolute", text)
	}
	return v, nil
}

// parseMiB reads a size with the suffix k, m, g or t (with or without b), or a
// number of MiB.
func parseMiB(flag, text string) (float64, error) {
	lower := strings.TrimSuffix(strings.ToLower(text), "b")
	factor := 1.0
	for suffix, f := range map[string]float64{"k": 1.0 / 1024, "m": 1, "g": 1024, "t": 1024 * 1024} {
		if rest, ok := strings.CutSuffix(lower, suffix); ok {
			lower, factor = rest, f
			break
		}
	}
	n, err := strconv.ParseFloat(lower, 64)
	if err != nil || !(n >= 0) || n*factor > 1<<40 {
		return 0, usagef("%s %q: want a size as 64m or 2g", flag, text)
	}
	return n * factor, nil
}

// defaultName derives a name from the image ("registry/team/web:1" gives "web") or
// the command.
func defaultName(image string, command []string) string {
	name := image
	if name == "" {
		name = command[0]
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	if clean = strings.Trim(clean, "-"); clean == "" {
		return "task"
	}
	return clean
}
