package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/rootfs"
	"agora.dev/agora/agent/sandboxes"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// HostPaths are the rules for volumes of the host.
type HostPaths struct {
	// Allow are the directories that volumes may come from; nil allows all. A link below
	// one of them does not lead out of it.
	Allow []string
	// Create are the directories below which a missing path is made.
	Create []string
}

// hostFiles are what a container in the host's network needs of the host.
func hostFiles() (out []specs.Mount) {
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			out = append(out, specs.Mount{Destination: file, Source: file, Type: "bind", Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
		}
	}
	return out
}

// placing is one volume on its way into a specification.
type placing struct {
	*Containerizer
	b       *box
	spec    containerizer.Spec
	root    *RootFS
	sandbox string // as the container sees it
	index   int
}

// volumes adds a mount for each volume.
func (c *Containerizer) volumes(ctx context.Context, b *box, oci *specs.Spec, p placing) error {
	p.Containerizer, p.b = c, b
	if err := p.persistent(ctx, oci); err != nil {
		return err
	}
	for i, v := range p.spec.Container.GetVolumes() {
		p.index = i
		m := specs.Mount{Type: "bind", Options: []string{"rbind", "nosuid", "nodev"}}
		if v.GetMode() == mesos.Volume_RO {
			m.Options = append(m.Options, "ro")
		}
		mapOwners(b, &m)
		err := p.destination(&m, v.GetContainerPath(), oci.Root.Path == "/")
		if err == nil {
			err = p.source(ctx, &m, v)
		}
		if err != nil {
			return fmt.Errorf("volume %q: %w", v.GetContainerPath(), err)
		}
		oci.Mounts = append(oci.Mounts, m)
	}
	return p.parameters(oci)
}

// destination is where the container sees the volume. A relative path is below the
// sandbox, and is resolved inside it whatever links a task put there.
func (p placing) destination(m *specs.Mount, path string, onHost bool) error {
	if path == "" || strings.Contains(path, "\x00") || slices.Contains(strings.Split(path, "/"), "..") {
		return errors.New("its container path must not be empty and must not contain '..'")
	}
	path = filepath.Clean(path)
	switch {
	case path == "/" || path == ".":
		return errors.New("its container path is the root of the container, or its sandbox")
	case filepath.IsAbs(path):
		if onHost && !exists(path) {
			return errors.New("its container path does not exist on this agent, and a container without an image cannot have others; use a relative one, which is in the sandbox")
		}
		m.Destination = path
	case onHost:
		m.Destination = path
		m.Options = append(m.Options, native.Inside+p.spec.Sandbox)
	default:
		m.Destination = filepath.Join(p.sandbox, path)
	}
	return nil
}

func (p placing) source(ctx context.Context, m *specs.Mount, v *mesos.Volume) error {
	s := v.GetSource()
	if s == nil {
		if v.GetImage() != nil {
			return p.image(ctx, m, v)
		}
		return p.hostPath(m, v.GetHostPath(), nil)
	}
	switch s.GetType() {
	case mesos.Volume_Source_HOST_PATH:
		return p.hostPath(m, s.GetHostPath().GetPath(), s.GetHostPath().MountPropagation)
	case mesos.Volume_Source_SANDBOX_PATH:
		return p.sandboxPath(ctx, m, s.GetSandboxPath())
	case mesos.Volume_Source_SECRET:
		return p.secret(ctx, m, s.GetSecret())
	}
	return fmt.Errorf("source %s is not supported by this agent", s.GetType())
}

func (p placing) sandboxPath(ctx context.Context, m *specs.Mount, s *mesos.Volume_Source_SandboxPath) error {
	if filepath.IsAbs(s.GetPath()) {
		return fmt.Errorf("sandbox path %q must be relative", s.GetPath())
	}
	base, path := p.spec.Sandbox, s.GetPath()
	switch s.GetType() {
	case mesos.Volume_Source_SandboxPath_SELF:
	case mesos.Volume_Source_SandboxPath_PARENT:
		if base = parentSandbox(p.spec); base == "" {
			return errors.New("a volume from the parent needs a nested container")
		}
		sandbox := base
		if base, path = inherited(m, p.spec, base, path); base != sandbox {
			sandbox = "" // it is a persistent volume
		}
		if err := inside(m, base, path); err != nil {
			return err
		}
		return p.share(ctx, base, path, sandbox)
	default:
		return fmt.Errorf("sandbox path of type %s: must be SELF or PARENT", s.GetType())
	}
	return inside(m, base, path)
}

// inside takes the source from below a directory, made if it is missing.
func inside(m *specs.Mount, base, path string) error {
	if path == "" || !filepath.IsLocal(path) {
		return fmt.Errorf("path %q leaves the sandbox", path)
	}
	if err := makeInside(base, path); err != nil {
		return err
	}
	m.Source = path
	m.Options = append(m.Options, native.Within+base)
	return nil
}

// hostPath: a relative one is in the sandbox, as in Mesos.
func (p placing) hostPath(m *specs.Mount, host string, propagation *mesos.MountPropagation) error {
	switch {
	case host == "":
		return errors.New("it has no source")
	case !filepath.IsAbs(host):
		return inside(m, p.spec.Sandbox, host)
	}
	host = filepath.Clean(host)
	rules := p.config.HostPaths
	m.Source = host
	if rules.Allow != nil {
		from := above(rules.Allow, host)
		if from == "" {
			return fmt.Errorf("host path %s is not allowed on this agent; allowed are %s", host, strings.Join(rules.Allow, ", "))
		}
		if from != "/" {
			m.Source, m.Options = strings.TrimPrefix(strings.TrimPrefix(host, from), "/"), append(m.Options, native.Within+from)
			if m.Source == "" {
				m.Source = "."
			}
		}
	}
	if _, err := os.Stat(host); errors.Is(err, os.ErrNotExist) && above(rules.Create, host) != "" {
		from := above(rules.Create, host)
		if err := makeInside(from, strings.TrimPrefix(strings.TrimPrefix(host, from), "/")); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if p.b.UserFirst != 0 && propagation.GetMode() == mesos.MountPropagation_BIDIRECTIONAL {
		return errors.New(textUsersShared)
	}
	return propagate(m, host, propagation.GetMode())
}

// above finds the directory that a path is in.
func above(dirs []string, path string) string {
	for _, dir := range dirs {
		if dir == "/" || path == dir || strings.HasPrefix(path, dir+"/") {
			return dir
		}
	}
	return ""
}

// propagate lets mounts pass between host and container.
func propagate(m *specs.Mount, host string, mode mesos.MountPropagation_Mode) error {
	option, ok := map[mesos.MountPropagation_Mode]string{
		mesos.MountPropagation_UNKNOWN: "rprivate", mesos.MountPropagation_HOST_TO_CONTAINER: "rslave", mesos.MountPropagation_BIDIRECTIONAL: "rshared"}[mode]
	if !ok {
		return fmt.Errorf("mount propagation %s is unknown", mode)
	}
	m.Options = append(m.Options, option)
	if mode == mesos.MountPropagation_UNKNOWN {
		return nil
	}
	shared, err := isShared(host)
	if err == nil && !shared {
		err = fmt.Errorf("mount propagation %s: host path %s is not on a shared mount; mount --make-shared it", mode, host)
	}
	return err
}

// isShared looks at the innermost mount that a path is on.
func isShared(path string) (shared bool, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false, err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close()
	best := -1
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, _, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if len(fields) < 6 || above([]string{fields[4]}, path) == "" || len(fields[4]) < best {
			continue
		}
		best = len(fields[4])
		shared = slices.ContainsFunc(fields[6:], func(s string) bool { return strings.HasPrefix(s, "shared:") })
	}
	return shared, nil
}

// secret puts a file into memory and binds it.
func (p placing) secret(ctx context.Context, m *specs.Mount, secret *mesos.Secret) error {
	content, err := p.resolve(ctx, secret)
	if err != nil {
		return err
	}
	owner, err := user(p.spec, p.root)
	if err != nil {
		return err
	}
	if m.Source, err = p.secrets.Put(string(p.spec.ID), p.index, content, p.b.UserFirst+owner.UID, p.b.UserFirst+owner.GID); err != nil {
		return err
	}
	m.Options = append(m.Options, "ro", "noexec")
	m.UIDMappings, m.GIDMappings = nil, nil // the file is the container's alone
	return nil
}

// image mounts an image's files: its only layer, or an overlay, written to a directory of
// the container's own, or a copy.
func (p placing) image(ctx context.Context, m *specs.Mount, v *mesos.Volume) error {
	if p.config.Images == nil {
		return errors.New("this agent provides no images")
	}
	image, err := p.provision(ctx, p.b, v.GetImage())
	if err != nil {
		return err
	}
	if p.b.UserFirst != 0 && p.root == nil {
		return errors.New(textUsersLayers)
	}
	readOnly := v.GetMode() == mesos.Volume_RO
	if mapped := p.b.UserFirst != 0; readOnly && len(image.Layers) == 1 && !(mapped && p.backend == rootfs.Copy) {
		m.Source = image.Layers[0]
		return nil
	}
	dir := filepath.Join(p.dir(p.spec.ID), "volume"+strconv.Itoa(p.index))
	o := launcher.Overlay{Lower: image.Layers}
	if !readOnly {
		o.Upper, o.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	}
	copies, err := p.copies(p.spec.ID, o)
	if err != nil {
		return err
	}
	if copies {
		m.Source, err = p.copyImage(ctx, p.b, filepath.Base(dir), image.Layers)
		m.UIDMappings, m.GIDMappings = nil, nil // its owners are the container's
		return err
	}
	return p.overlay(m, o)
}

// overlay mounts layers; what is changed belongs to the container's root.
func (p placing) overlay(m *specs.Mount, o launcher.Overlay) error {
	if o.Upper != "" {
		err := errors.Join(os.MkdirAll(o.Upper, 0o755), os.MkdirAll(o.Work, 0o755), os.Chown(o.Upper, int(p.b.UserFirst), int(p.b.UserFirst)))
		if err != nil {
			return err
		}
	}
	data, err := o.Data()
	if err != nil {
		return err
	}
	m.Type, m.Source = "overlay", "overlay"
	m.Options = append(slices.DeleteFunc(m.Options, func(o string) bool { return o == "rbind" }), strings.Split(data, ",")...)
	return nil
}

// parentSandbox: the agent lays nested sandboxes out as <parent>/containers/<id>.
func parentSandbox(spec containerizer.Spec) string {
	at := strings.LastIndex(spec.Sandbox, "/containers/")
	if _, nested := spec.ID.Parent(); !nested || at < 0 {
		return ""
	}
	return spec.Sandbox[:at]
}

// makeInside makes a directory that is missing below base.
func makeInside(base, path string) error {
	root, err := sandboxes.Open(base)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(path); err == nil {
		return nil
	}
	if err := root.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(base); err == nil {
		return chownLike(root, path, info)
	}
	return nil
}
