package docker

import (
	"os"
	"path/filepath"

	"github.com/moby/moby/client"

	mesos "agora.dev/agora/api/mesos/v1"
)

// pathsWithColons: Chronos has them in the ids of its executors, and so in the paths of sandboxes. A
// directory of the host that is missing is made, and a volume of the Engine outlives the container.
func pathsWithColons(r *rig) {
	spec := r.spec("chronos", `echo sandbox > $MESOS_SANDBOX/file; echo a > /a:b/file; echo host > /host/file; ! echo x > /locked/file && echo named > /named/file`)
	spec.Sandbox = filepath.Join(r.work, "ct:1:0:job:")
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		r.t.Fatal(err)
	}
	readWrite, readOnly, engines, host := mesos.Volume_RW, mesos.Volume_RO, mesos.Volume_Source_DOCKER_VOLUME, filepath.Join(r.work, "of:the", "host")
	spec.Container.Volumes = []*mesos.Volume{
		{ContainerPath: ptr("/a:b"), HostPath: ptr("a:b"), Mode: &readWrite},
		{ContainerPath: ptr("/host"), HostPath: &host, Mode: &readWrite},
		{ContainerPath: ptr("/locked"), HostPath: &host, Mode: &readOnly},
		{ContainerPath: ptr("/named"), Mode: &readWrite, Source: &mesos.Volume_Source{Type: &engines, DockerVolume: &mesos.Volume_Source_DockerVolume{Name: ptr("kept")}}},
	}
	r.launch(spec)
	if end := r.wait("chronos"); end.Status == nil || *end.Status != 0 {
		r.t.Errorf("ended with %+v", end)
	}
	for path, want := range map[string]string{filepath.Join(spec.Sandbox, "file"): "sandbox\n", filepath.Join(spec.Sandbox, "a:b", "file"): "a\n", filepath.Join(host, "file"): "host\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			r.t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if err := r.c.Remove(r.ctx, "chronos"); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.engine.Client.VolumeInspect(r.ctx, "kept", client.VolumeInspectOptions{}); err != nil {
		r.t.Errorf("the Engine's volume is gone with the container: %v", err)
	}
}
