package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"google.golang.org/protobuf/proto"
)

// Versions of the specification that brought commands: CHECK, and then GC and STATUS.
const (
	checkSince = "0.4.0"
	gcSince    = "1.1.0"
)

// recheckPause is between two looks at containers whose network is broken.
const recheckPause = time.Minute

// checksAtOnce bounds how many containers are looked at at the same time.
const checksAtOnce = 4

// survey asks plugins, as an agent starts, whether networks can take containers (STATUS), tells
// them which attachments are alive (GC), and asks for the networks of the containers that
// live (CHECK): again and again for those that are broken.
func (i *Isolator) survey(whole bool) {
	for _, list := range i.configured() {
		modern := i.modern(list)
		if len(modern.Plugins) == 0 {
			continue
		}
		i.ask(modern)
		if whole && (i.config.Collect || i.isBuiltin(list)) {
			i.collect(modern)
		}
	}
	for left := i.recovered(); ; {
		if left = i.checkAll(left); len(left) == 0 {
			return
		}
		select {
		case <-time.After(recheckPause):
		case <-i.ctx.Done():
			return
		}
	}
}

// configured are the networks that containers can ask for, each once.
func (i *Isolator) configured() (out []*libcni.NetworkConfigList) {
	seen := map[string]bool{}
	keep := func(config map[string]any, err error) {
		var list *libcni.NetworkConfigList
		if err == nil {
			err = checkTypes(config)
		}
		if err == nil {
			var b []byte
			if b, err = json.Marshal(asList(config)); err == nil {
				list, err = libcni.NetworkConfFromBytes(b)
			}
		}
		switch {
		case err != nil:
			i.log.Warn("configuration of a network not readable", "error", err)
		case !seen[list.Name]:
			seen[list.Name] = true
			out = append(out, list)
		}
	}
	if i.config.ConfigDir != "" {
		files, err := configFiles(i.config.ConfigDir)
		if err != nil {
			i.log.Warn("configurations of networks not readable", "error", err)
		}
		for _, file := range files {
			keep(readConfig(file))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.config.Networks)) {
		keep(decodeConfig(bytes.NewReader(i.config.Networks[name])))
	}
	return out
}

// isBuiltin reports whether nobody but this agent uses the network: its plugins are within.
func (i *Isolator) isBuiltin(list *libcni.NetworkConfigList) bool {
	for _, p := range list.Plugins {
		if i.config.Builtin[p.Network.Type] == nil {
			return false
		}
	}
	return true
}

// modern is the list with the plugins alone that declare GC and STATUS, none where the
// configuration is older.
func (i *Isolator) modern(list *libcni.NetworkConfigList) *libcni.NetworkConfigList {
	out := *list
	out.Plugins = nil
	if !atLeast(list.CNIVersion, gcSince) {
		return &out
	}
	for _, p := range list.Plugins {
		ctx, cancel := context.WithTimeout(i.ctx, i.config.Timeout)
		info, err := i.plain().GetVersionInfo(ctx, p.Network.Type)
		cancel()
		switch {
		case i.ctx.Err() != nil:
			return &out
		case err != nil:
			i.log.Warn("plugin of a network does not tell its versions", "network", list.Name, "plugin", p.Network.Type, "error", err)
		case slices.ContainsFunc(info.SupportedVersions(), func(v string) bool { return atLeast(v, gcSince) }):
			out.Plugins = append(out.Plugins, p)
		}
	}
	return &out
}

// plain runs plugins about no container.
func (i *Isolator) plain() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(i.config.PluginDirs, i.dir(".none"), &runner{builtin: i.config.Builtin})
}

// ask has the plugins tell whether they can take containers.
func (i *Isolator) ask(list *libcni.NetworkConfigList) {
	ctx, cancel := context.WithTimeout(i.ctx, i.config.Timeout)
	defer cancel()
	err := i.plain().GetStatusNetworkList(ctx, list)
	if err == nil || i.ctx.Err() != nil {
		return
	}
	i.counts.unavailable.Add(1)
	i.log.Warn("network cannot take containers", "network", list.Name, "error", err)
}

// collect has the plugins give back what belongs to no container of this agent. Nothing is
// attached meanwhile: what is half attached would be taken for dead.
func (i *Isolator) collect(list *libcni.NetworkConfigList) {
	i.collecting.Lock()
	defer i.collecting.Unlock()
	ctx, cancel := context.WithTimeout(i.ctx, i.config.Timeout)
	defer cancel()
	args := &libcni.GCArgs{ValidAttachments: i.alive(list.Name)}
	if err := i.plain().GCNetworkList(ctx, list, args); err != nil && i.ctx.Err() == nil {
		i.log.Warn("attachments of the dead not collected", "network", list.Name, "error", err)
	}
}

// alive are the attachments to a network that containers have; never nil, which would mean
// that nobody knows.
func (i *Isolator) alive(network string) []types.GCAttachment {
	out := []types.GCAttachment{}
	for _, id := range i.recovered() {
		record, err := load(i.dir(id))
		if err != nil {
			continue
		}
		for _, a := range record.Attachments {
			if a.list() == network {
				out = append(out, types.GCAttachment{ContainerID: id, IfName: a.Interface})
			}
		}
	}
	return out
}

func (i *Isolator) recovered() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Sorted(maps.Keys(i.attached))
}

// checkAll looks at the networks of containers and returns those that are broken.
func (i *Isolator) checkAll(ids []string) (broken []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	room := make(chan struct{}, checksAtOnce)
	for _, id := range ids {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if i.checkOne(id) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			broken = append(broken, id)
		})
	}
	wg.Wait()
	slices.Sort(broken)
	return broken
}

// checkOne is false for a container with a broken network, and has its status tell.
func (i *Isolator) checkOne(id string) bool {
	defer i.turn(id)()
	record, err := load(i.dir(id))
	before := i.Find(id)
	if err != nil || before == nil {
		return true // detached meanwhile
	}
	broken := map[string]string{}
	for _, a := range record.Attachments {
		err := i.check(before.Namespace, id, a)
		if i.ctx.Err() != nil {
			return true
		}
		if err == nil {
			continue
		}
		broken[a.Network] = err.Error()
		if before.Broken[a.Network] != err.Error() {
			i.log.Warn("network of a container is broken", "container", id, "network", a.Network, "error", err)
		}
	}
	if len(broken) == 0 && len(before.Broken) > 0 {
		i.log.Info("network of a container is whole again", "container", id)
	}
	after := i.describe(record)
	after.tell(broken)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.attached[id] = after
	return len(broken) == 0
}

// LabelBroken is on the NetworkInfo of a status whose network is broken; its value is what the
// plugin says.
const LabelBroken = "agora.network.broken"

// tell labels what is broken.
func (a *Attached) tell(broken map[string]string) {
	a.Broken = broken
	for _, info := range a.Infos {
		if said, ok := broken[info.GetName()]; ok {
			labels := &mesos.Labels{Labels: slices.Clone(info.GetLabels().GetLabels())}
			labels.Labels = append(labels.Labels, &mesos.Label{Key: proto.String(LabelBroken), Value: &said})
			info.Labels = labels
		}
	}
}

func (i *Isolator) check(namespace, container string, a *attachment) error {
	ctx, cancel := context.WithTimeout(i.ctx, i.config.Timeout)
	defer cancel()
	list, err := libcni.NetworkConfFromBytes(a.Config)
	if err != nil || !atLeast(list.CNIVersion, checkSince) {
		return nil // such plugins know no CHECK
	}
	c, rt := i.runtime(container, namespace, a)
	return c.CheckNetworkList(ctx, list, rt)
}

func atLeast(have, want string) bool {
	ok, err := version.GreaterThanOrEqualTo(have, want)
	return err == nil && ok
}
