package launchertest

import (
	"path/filepath"

	"agora.dev/agora/agent/rootfs"
)

// plainRoot: a root file system need not be an overlay, and either kind can be read only.
func plainRoot(r *Rig) {
	const try = `cat /etc/group | head -n 1; touch /etc/new 2>/dev/null && echo written || echo refused; touch /dev/shm/new && echo scratch; stat -c %u /etc`
	for _, c := range []struct {
		id              string
		plain, readonly bool
	}{{"plain", true, false}, {"plain-ro", true, true}, {"overlay-ro", false, true}} {
		request := r.Request(c.id, try)
		request.Spec.Root.Readonly = c.readonly
		if c.plain {
			what := rootfs.Copying{Layers: []string{r.Root}}
			if r.users {
				what.First, what.Size = firstOf(request), idsOfOne
			}
			request.Overlay, request.Spec.Root.Path = nil, filepath.Join(r.Scratch, c.id, "plain")
			if _, err := what.To(r.Context(), request.Spec.Root.Path); err != nil {
				r.T.Fatal(err)
			}
		}
		want := "root:x:0:\nwritten\nscratch\n0\n"
		if c.readonly {
			want = "root:x:0:\nrefused\nscratch\n0\n"
		}
		if exit, out := r.Run(request); code(exit) != 0 || out != want {
			r.T.Errorf("%s: %+v, %q; want %q", c.id, exit, out, want)
		}
	}
}
