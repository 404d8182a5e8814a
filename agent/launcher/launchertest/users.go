package launchertest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"agora.dev/agora/agent/launcher"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// probeUsers tells the probe which ids its user namespace must have.
const probeUsers = "AGORA_PROBE_USERS"

// firstUser is where the next container's ids begin.
var firstUser atomic.Uint32

const idsOfOne = 65536

// RunWithUserNamespaces checks a launcher against the contract once more, each container
// with a user namespace of its own, and against what user namespaces are for. nodes is the owner, as "0:0", that
// the nodes of its devices have inside.
func RunWithUserNamespaces(t *testing.T, open Factory, nodes string) {
	each := func(name string, run func(*Rig)) {
		t.Run(name, func(t *testing.T) { run(NewUserRig(t, open)) })
	}
	for _, c := range contract {
		each(c.name, c.run)
	}
	each("RootIsNobodyOutside", rootOutside)
	each("FilesKeepTheirOwners", ownersOnDisk)
	each("NeighboursAreStrangers", strangers)
	each("NestedAndEntered", nestedAndEntered)
	each("KernelFilesystemsBelongToRoot", func(r *Rig) { kernelFiles(r, nodes) })
}

// NewUserRig is a rig whose containers have user namespaces, or skips.
func NewUserRig(t testing.TB, open Factory) *Rig {
	t.Helper()
	NeedIDMaps(t)
	r := NewRig(t, open)
	r.users = true
	return r
}

// separate gives a container a range of ids.
func (r *Rig) separate(request *launcher.Request) {
	r.T.Helper()
	first := 1<<24 + (firstUser.Add(1)%1024)*idsOfOne
	ids := []specs.LinuxIDMapping{{HostID: first, Size: idsOfOne}}
	linux := request.Spec.Linux
	linux.UIDMappings, linux.GIDMappings = ids, ids
	linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	if err := os.Chown(request.Overlay.Upper, int(first), int(first)); err != nil {
		r.T.Fatal(err)
	}
}

func firstOf(request launcher.Request) uint32 { return request.Spec.Linux.UIDMappings[0].HostID }

// idMapped is a directory that the container sees with the owners that it has on disk.
func idMapped(request *launcher.Request, source, at string) {
	ids := request.Spec.Linux.UIDMappings
	request.Spec.Mounts = append(request.Spec.Mounts, specs.Mount{Destination: at, Source: source, Type: "bind", Options: []string{"rbind", "nosuid", "nodev"}, UIDMappings: ids, GIDMappings: ids})
}

func rootOutside(r *Rig) {
	request := r.Request("root", `id; cat /proc/self/uid_map /proc/self/gid_map | while read a b c; do echo $a $b $c; done; echo up; sleep 1000`)
	pid, err := r.Start(r.Context(), request)
	if err != nil {
		r.T.Fatal(err)
	}
	r.Await(request, "up")
	first := firstOf(request)
	want := fmt.Sprintf("uid=0(root) gid=0(root)\n0 %d 65536\n0 %d 65536\nup\n", first, first)
	if out := strings.Replace(r.Output(request), " groups=0(root)", "", 1); out != want {
		r.T.Errorf("got %q, want %q", out, want)
	}
	for who, pid := range map[string]int{"the init": pid, "the command": child(r, pid)} {
		if got := realUser(r, pid); got != first {
			r.T.Errorf("%s runs as user %d of the machine, want %d", who, got, first)
		}
	}
}

// realUser is the machine's id of a process's user.
func realUser(r *Rig, pid int) uint32 {
	r.T.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		r.T.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "\nUid:")
	id, err := strconv.ParseUint(strings.Fields(after)[0], 10, 32)
	if err != nil {
		r.T.Fatal(err)
	}
	return uint32(id)
}

func child(r *Rig, pid int) int {
	r.T.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		r.T.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		r.T.Fatalf("children of %d: %q", pid, b)
	}
	return n
}

// ownersOnDisk: what belongs to a user on disk belongs to the user of that number inside,
// and what that one makes does too; the machine's own files belong to nobody.
func ownersOnDisk(r *Rig) {
	dir := r.T.TempDir()
	for name, id := range map[string]int{"of-root": 0, "of-user": 1234, "of-nobody": 1 << 20} {
		file := dir + "/" + name
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			r.T.Fatal(err)
		}
		if err := os.Chown(file, id, id); err != nil {
			r.T.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		r.T.Fatal(err)
	}
	show := `cd /data; stat -c '%n %u' of-* /bin/busybox; touch made; mkdir -p deep/dir; chown 77 deep; cat of-nobody 2>/dev/null || echo refused; echo x >> /dev/stdout`
	for _, c := range []struct {
		id   string
		user uint32
		want string
	}{
		{"as-root", 0, "of-nobody 65534\nof-root 0\nof-user 1234\n/bin/busybox 0\nrefused\nx\n"},
	} {
		request := r.Request(c.id, show)
		idMapped(&request, dir, "/data")
		if _, out := r.Run(request); out != c.want {
			r.T.Errorf("%s: got %q, want %q", c.id, out, c.want)
		}
	}
	request := r.Request("as-user", `cd /data; echo y >> of-user && touch by-user; cat of-root 2>/dev/null || echo refused; echo z >> /dev/stdout`)
	request.Spec.Process.User = specs.User{UID: 1234, GID: 1234}
	request.Spec.Process.Capabilities.Effective, request.Spec.Process.Capabilities.Permitted = nil, nil
	idMapped(&request, dir, "/data")
	if err := os.WriteFile(request.Stdout, nil, 0o644); err != nil {
		r.T.Fatal(err)
	}
	if err := os.Chown(request.Stdout, 1234, 1234); err != nil {
		r.T.Fatal(err)
	}
	if _, out := r.Run(request); out != "refused\nz\n" {
		r.T.Errorf("as-user: got %q", out)
	}
	for name, want := range map[string]uint32{"made": 0, "deep": 77, "deep/dir": 0, "by-user": 1234, "of-user": 1234} {
		if got := owner(r, dir+"/"+name); got != want {
			r.T.Errorf("%s belongs to %d on disk, want %d", name, got, want)
		}
	}
}

func owner(r *Rig, file string) uint32 {
	r.T.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		r.T.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// strangers: with the pid namespace of another in common, root of one container is
// refused what it would do to a process of the other. A third in the first one's user
// namespace is not.
func strangers(r *Rig) {
	victim := r.Request("victim", `echo up; sleep 1000`)
	pid, err := r.Start(r.Context(), victim)
	if err != nil {
		r.T.Fatal(err)
	}
	r.Await(victim, "up")
	const try = `for p in /proc/[0-9]*; do n=${p#/proc/}; if grep -q '^sleep' $p/cmdline 2>/dev/null; then kill -0 $n 2>/dev/null && echo signalled || echo refused; cat $p/environ >/dev/null 2>&1 && echo read || echo hidden; fi; done`
	sharing := func(id string) launcher.Request {
		request := r.Request(id, try)
		for i, n := range request.Spec.Linux.Namespaces {
			if n.Type == specs.PIDNamespace {
				request.Spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/pid", pid)
			}
		}
		return request
	}
	// Where the pid namespace belongs to the victim's user namespace, a stranger may not even see it.
	stranger := sharing("stranger")
	if _, err := r.Start(r.Context(), stranger); err != nil {
		if !strings.Contains(err.Error(), "operation not permitted") {
			r.T.Error(err)
		}
	} else if _, err := r.Wait(r.Context(), "stranger"); err != nil || r.Output(stranger) != "refused\nhidden\n" {
		r.T.Errorf("a stranger: got %q, %v", r.Output(stranger), err)
	}
	relative := sharing("relative")
	if err := joinUsers(&relative, victim, pid); err != nil {
		r.T.Fatal(err)
	}
	if _, out := r.Run(relative); out != "signalled\nread\n" {
		r.T.Errorf("one of the same user namespace: got %q", out)
	}
}

// joinUsers puts a container into the user namespace of another.
func joinUsers(request *launcher.Request, other launcher.Request, pid int) error {
	linux := request.Spec.Linux
	linux.UIDMappings, linux.GIDMappings = other.Spec.Linux.UIDMappings, other.Spec.Linux.GIDMappings
	for i, n := range linux.Namespaces {
		if n.Type == specs.UserNamespace {
			linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/user", pid)
		}
	}
	return os.Chown(request.Overlay.Upper, int(firstOf(other)), int(firstOf(other)))
}

// nestedAndEntered: a container in a pod, and a process that enters it, have the pod's ids.
func nestedAndEntered(r *Rig) {
	pod := r.Request("pod", "")
	pod.Pause, pod.Overlay, pod.Spec.Root, pod.Spec.Process = true, nil, &specs.Root{Path: "/"}, nil
	pod.Spec.Mounts = pod.Spec.Mounts[:1]
	pid, err := r.Start(r.Context(), pod)
	if err != nil {
		r.T.Fatal(err)
	}
	nested := r.Request("pod.task", `echo up; sleep 1000`)
	if err := joinUsers(&nested, pod, pid); err != nil {
		r.T.Fatal(err)
	}
	in, err := r.Start(r.Context(), nested)
	if err != nil {
		r.T.Fatal(err)
	}
	r.Await(nested, "up")
	if got := realUser(r, in); got != firstOf(pod) {
		r.T.Errorf("the nested container's init is user %d, want %d", got, firstOf(pod))
	}
	r.Reopen() // the next launcher knows the user namespace, too
	out, err := os.Create(r.Scratch + "/entered")
	if err != nil {
		r.T.Fatal(err)
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		r.T.Fatal(err)
	}
	defer null.Close()
	process := r.Request("unused", `read a b c < /proc/self/uid_map; echo $b; touch /tmp/entered; stat -c %u /tmp/entered`).Spec.Process
	if _, err := r.Enter(r.Context(), launcher.Enter{ID: "session", Parent: "pod.task", Process: process, Seccomp: nested.Spec.Linux.Seccomp, Files: [3]*os.File{null, out, out}}); err != nil {
		r.T.Fatal(err)
	}
	if exit, err := r.Wait(r.Context(), "session"); err != nil || code(exit) != 0 {
		r.T.Errorf("session: %+v, %v", exit, err)
	}
	want := fmt.Sprintf("%d\n0\n", firstOf(pod))
	if b, _ := os.ReadFile(out.Name()); string(b) != want {
		r.T.Errorf("session wrote %q, want %q", b, want)
	}
}

// kernelFiles: what is made for the container is its root's; what is the machine's is
// nobody's.
func kernelFiles(r *Rig, nodes string) {
	say(r, "owners", `stat -c '%n %u:%g' / /dev /dev/null /dev/shm /dev/fd /tmp /proc/self /proc/sys`,
		"/ 0:0\n/dev 0:0\n/dev/null "+nodes+"\n/dev/shm 0:0\n/dev/fd 0:0\n/tmp 0:0\n/proc/self 65534:65534\n/proc/sys 65534:65534")
	say(r, "writes", `touch /new /etc/new /tmp/new /dev/shm/new && chown 5:6 /etc/new && chmod 4755 /etc/new && stat -c '%u:%g %a' /etc/new; echo more >> /etc/passwd && echo copied up`, "5:6 4755\ncopied up")
	tty := r.Request("tty", `stat -c '%u:%g' $(tty 2>/dev/null || readlink /proc/self/fd/0) 2>/dev/null; echo y > /dev/tty && echo done`)
	tty.Spec.Process.Terminal = true
	if exit, out := r.Run(tty); code(exit) != 0 {
		r.T.Errorf("terminal: %+v, %q", exit, out)
	}
	r.Await(tty, "done")
}
