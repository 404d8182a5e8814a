// Command protogen compiles the .proto files below api/ to Go, without protoc.
//
// Run it from the repository root: go run -C tools ./protogen. With -check it
// writes nothing, and exits 1 naming the files that are not fresh.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/planetscale/vtprotobuf/generator"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	_ "github.com/planetscale/vtprotobuf/features/marshal"
	_ "github.com/planetscale/vtprotobuf/features/size"
	_ "github.com/planetscale/vtprotobuf/features/unmarshal"
)

const (
	root   = "../api"
	module = "agora.dev/agora/api"
)

// fast lists the packages that are on the path of every offer, task and update,
// and so get generated marshalling besides reflection.
var fast = map[string]bool{"mesos/v1/mesos.proto": true, "mesos/v1/scheduler/scheduler.proto": true, "agora/link/v1/link.proto": true}

func main() {
	check := flag.Bool("check", false, "write nothing; fail when a file is not fresh")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	generated, err := generate()
	if err != nil {
		return err
	}
	var stale []string
	for name, content := range generated {
		path := filepath.Join(root, name)
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, content) {
			continue
		}
		stale = append(stale, path)
		if !check {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return err
			}
		}
	}
	if check && len(stale) > 0 {
		return fmt.Errorf("not fresh: %s; run make generate", strings.Join(stale, ", "))
	}
	return nil
}

// generate returns the content of each generated file by its path below api/.
func generate() (map[string][]byte, error) {
	names, err := protoFiles()
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, ProtoFile: closure(files)}
	out := map[string][]byte{}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, err
	}
	for _, file := range plugin.Files {
		if file.Generate {
			internal_gengo.GenerateFile(plugin, file)
		}
	}
	if err := collect(plugin.Response(), out); err != nil {
		return nil, err
	}
	if plugin, err = (protogen.Options{}).New(request); err != nil {
		return nil, err
	}
	for _, file := range plugin.Files {
		file.Generate = file.Generate && fast[file.Desc.Path()]
	}
	vt, err := generator.NewGenerator(plugin, []string{"marshal", "unmarshal", "size"}, &generator.Config{})
	if err != nil {
		return nil, err
	}
	vt.Generate()
	return out, collect(plugin.Response(), out)
}

func collect(response *pluginpb.CodeGeneratorResponse, out map[string][]byte) error {
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.File {
		out[strings.TrimPrefix(file.GetName(), module+"/")] = []byte(file.GetContent())
	}
	return nil
}

func protoFiles() ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".proto") {
			rel, _ := filepath.Rel(root, path)
			names = append(names, rel)
		}
		return err
	})
	return names, err
}

// closure lists every file and its imports, imports first.
func closure[F protoreflect.FileDescriptor](files []F) []*descriptorpb.FileDescriptorProto {
	var out []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		out = append(out, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range files {
		add(file)
	}
	return out
}
