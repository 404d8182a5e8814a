package gpu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/gpu/gputest"
)

func TestGPUsAreFoundInTheOrderOfTheBus(t *testing.T) {
	d, err := gpu.Find(gputest.Machine(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	if d.Version != gputest.Version || len(d.GPUs) != 3 || len(d.Control) != 2 {
		t.Fatalf("got %+v", d)
	}
	for i, g := range d.GPUs {
		minor := int64(2 - i)
		if g.Index != i || g.UUID != fmt.Sprintf("GPU-0000000%d", i) || g.Model != fmt.Sprintf("NVIDIA Model %d", i) ||
			g.Node.Path != fmt.Sprintf("/dev/nvidia%d", minor) || g.Node.Minor != minor || g.Node.Major != gputest.MajorGPU || g.Node.Type != "c" {
			t.Errorf("GPU %d: %+v", i, g)
		}
	}
}

func TestWhatIsWrongWithTheDriverIsSaid(t *testing.T) {
	for want, spoil := range map[string]func(root string){
		"no NVIDIA driver is loaded": func(root string) { os.RemoveAll(filepath.Join(root, "proc")) },
		"names no version":           func(root string) { gputest.Write(t, root, "proc/driver/nvidia/version", "none") },
		"GPU 0000:10:00.0: the driver names no device minor": func(root string) {
			gputest.Write(t, root, "proc/driver/nvidia/gpus/0000:10:00.0/information", "Model: x\n")
		},
		`device minor "many" is no number`: func(root string) {
			gputest.Write(t, root, "proc/driver/nvidia/gpus/0000:10:00.0/information", "Device Minor: many\n")
		},
		"nvidia-modprobe -u -c 0 makes it": func(root string) { os.Remove(filepath.Join(root, "dev/nvidia-uvm")) },
		"/dev/nvidia0 is no device": func(root string) {
			os.Remove(filepath.Join(root, "dev/nvidia0"))
			gputest.Write(t, root, "dev/nvidia0", "")
		},
	} {
		root := gputest.Machine(t, 1)
		spoil(root)
		if _, err := gpu.Find(root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestOfferedGPUs(t *testing.T) {
	d, err := gpu.Find(gputest.Machine(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	const unnamed = -1
	for _, c := range []struct {
		devices string
		amount  float64
		want    []int
		refused string
	}{
		{"", unnamed, []int{0, 1, 2}, ""}, {"", 0, nil, ""}, {"2,0", 2, []int{2, 0}, ""}, {" 1 ", 1, []int{1}, ""},
		{"", 2, nil, "need --nvidia_gpu_devices"}, {"0", unnamed, nil, "needs gpus:1 in --resources"}, {"0,1", 1, nil, "has 1 gpus, and --nvidia_gpu_devices names 2"},
		{"3", 1, nil, "there is no GPU 3; this machine has 3"}, {"0,0", 2, nil, "0 is named twice"}, {"a", 1, nil, `"a" is no index`}, {"0,", 1, nil, `"" is no index`},
		{"-1", 1, nil, `"-1" is no index`}, {"0", 0.5, nil, "must be an unsigned integer"},
	} {
		amount := &c.amount
		if c.amount == unnamed {
			amount = nil
		}
		got, err := d.Offered(c.devices, amount)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%+v: got %v", c, err)
			}
		} else if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
}

func TestFilesOfTheDriver(t *testing.T) {
	root := gputest.Machine(t, 1)
	d, err := gpu.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		source, _ := filepath.Rel(root, f.Source)
		got = append(got, source+" "+f.Destination)
	}
	slices.Sort(got)
	want := []string{"usr/bin/nvidia-smi /usr/local/nvidia/bin/nvidia-smi",
		"usr/lib/i386-linux-gnu/libnvidia-ptxjitcompiler.so.1.real /usr/local/nvidia/lib/libnvidia-ptxjitcompiler.so.1",
		"usr/lib/x86_64-linux-gnu/libcuda.so.1.real /usr/local/nvidia/lib64/libcuda.so.1",
		"usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1.real /usr/local/nvidia/lib64/libnvidia-ml.so.1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	// A cache may have an older table before it, may be missing, and may be cut short.
	cache := gputest.Cache(gputest.Libraries)
	gputest.Write(t, root, "etc/ld.so.cache", "ld.so-1.7.0\x00\x00\x00\x00\x00"+string(cache))
	if again, err := d.Files(); err != nil || len(again) != len(files) {
		t.Errorf("after an older table: %v, %v", again, err)
	}
	for cut := range len(cache) {
		gputest.Write(t, root, "etc/ld.so.cache", string(cache[:cut]))
		if again, err := d.Files(); err == nil && len(again) != 1 { // the program alone
			t.Errorf("%d bytes of the cache: %v", cut, again)
		}
	}
	os.Remove(filepath.Join(root, "etc/ld.so.cache"))
	os.Remove(filepath.Join(root, "usr/bin/nvidia-smi"))
	if _, err := d.Files(); err == nil || !strings.Contains(err.Error(), "run ldconfig") {
		t.Errorf("without any: %v", err)
	}
}
