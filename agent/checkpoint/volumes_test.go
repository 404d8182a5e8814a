package checkpoint

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/vfs"
)

func volume(id string) *mesos.Resource {
	return &mesos.Resource{Name: proto.String("disk"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(8)},
		Reservations: []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: proto.String("eng/web")}},
		Disk: &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id},
			Volume: &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()}}}
}

func onMount(r *mesos.Resource, root string) *mesos.Resource {
	r.Disk.Source = &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_MOUNT.Enum(),
		Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: &root}}
	return r
}

func onPath(r *mesos.Resource, root string) *mesos.Resource {
	r.Disk.Source = &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_PATH.Enum(),
		Path: &mesos.Resource_DiskInfo_Source_Path{Root: &root}}
	return r
}

func operation() *mesos.Operation {
	status := &mesos.OperationStatus{State: mesos.OperationState_OPERATION_FINISHED.Enum(),
		Uuid: &mesos.UUID{Value: []byte("0123456789abcdef")}}
	return &mesos.Operation{Info: &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(),
		Id: &mesos.OperationID{Value: proto.String("op")}}, LatestStatus: status, Uuid: &mesos.UUID{Value: []byte("fedcba9876543210")}}
}

func TestVolumesLieWhereMesosHasThem(t *testing.T) {
	p := Paths{Work: "/w"}
	for want, r := range map[string]*mesos.Resource{
		"/w/volumes/roles/eng web/v":   volume("v"),
		"/d/volumes/roles/eng web/v":   onPath(volume("v"), "/d"),
		"/w/d/volumes/roles/eng web/v": onPath(volume("v"), "d"),
		"/mnt/disk1":                   onMount(volume("v"), "/mnt/disk1"),
		"":                             {Name: proto.String("disk")},
	} {
		if got := p.Volume(r); got != want {
			t.Errorf("%v: got %q, want %q", r.GetDisk(), got, want)
		}
	}
}

// Wherever the process dies while a volume is destroyed: the volume is there with its data, or
// neither is.
func TestDestroyedVolumesAreGoneAfterACrash(t *testing.T) {
	for _, v := range []*mesos.Resource{volume("v"), onPath(volume("v"), "/d"), onMount(volume("v"), "/mnt/m")} {
		for at, died := 1, true; died; at++ {
			died = destroyAndDie(t, v, at)
			if at > 100 {
				t.Fatal("no end of changes")
			}
		}
	}
}

func destroyAndDie(t *testing.T, v *mesos.Resource, at int) (died bool) {
	disk := vfs.NewMem()
	s, _ := open(t, disk)
	if err := s.Apply(core.WriteResources{Resources: []*mesos.Resource{v}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.paths.Volume(v), "precious")
	if err := disk.MkdirAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(file, []byte("data")); err != nil {
		t.Fatal(err)
	}
	disk.CrashAt(at)
	err := s.Apply(core.WriteResources{Removing: []*mesos.Resource{v}})
	if err != nil && !errors.Is(err, vfs.ErrCrashed) {
		t.Fatal(err)
	}
	disk.Restart()
	_, state := open(t, disk)
	_, missing := disk.ReadFile(file)
	if listed := len(state.Resources) == 1; listed == (missing != nil) {
		t.Fatalf("%s, crash in change %d: listed %v, data %v", s.paths.Volume(v), at, listed, missing)
	}
	return err != nil
}

func TestDataOfADestroyedVolumeWaitsInTheTrash(t *testing.T) {
	disk := vfs.NewMem()
	s, _ := open(t, disk)
	for _, w := range []core.WriteResources{{Resources: []*mesos.Resource{volume("v")}}, {Removing: []*mesos.Resource{volume("v")}}} {
		if err := s.Apply(w); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := disk.ReadDir(s.paths.Trash(volume("v")))
	if err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name, "v~") {
		t.Errorf("trash: %v, %v", entries, err)
	}
}
