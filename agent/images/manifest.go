package images

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of docker's registry API, next to those of OCI.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	schema1        = "application/vnd.docker.distribution.manifest.v1"
	schema1Signed  = schema1 + "+prettyjws"
)

// document is the union of a manifest and an index: one that claims to be both is
// ambiguous and is refused, whatever its media type says.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage      `json:"fsLayers"`
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerIndex
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrHostile, fmt.Sprintf(format, args...))
}

// decodeDocument reads a manifest or an index that came with the given media type.
func decodeDocument(data []byte, mediaType string, limits Limits) (document, error) {
	var doc document
	if !isIndex(mediaType) && !isManifest(mediaType) {
		return doc, refused("media type %.100q is neither an image manifest nor an index", mediaType)
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, refused("manifest is not valid JSON: %s", oneLine(err))
	}
	if doc.SchemaVersion != 2 {
		return doc, refused("manifest has schema version %d, not 2", doc.SchemaVersion)
	}
	if doc.MediaType != "" && doc.MediaType != mediaType {
		return doc, refused("manifest calls itself %.100q but came as %q", doc.MediaType, mediaType)
	}
	if doc.FSLayers != nil || isIndex(mediaType) && (doc.Config != nil || doc.Layers != nil) ||
		isManifest(mediaType) && doc.Manifests != nil {
		return doc, refused("manifest is ambiguous: it has the fields of more than one kind")
	}
	if isIndex(mediaType) {
		return doc, checkDescriptors(doc.Manifests, limits)
	}
	if doc.Config == nil {
		return doc, refused("manifest has no config")
	}
	if t := doc.Config.MediaType; t != ocispec.MediaTypeImageConfig && t != dockerConfig {
		return doc, refused("config has media type %.100q: it is not a container image", t)
	}
	if len(doc.Layers) > limits.Layers {
		return doc, refused("it has %d layers, more than %d", len(doc.Layers), limits.Layers)
	}
	for _, layer := range doc.Layers {
		if !layerType(layer.MediaType) {
			return doc, refused("layer %.80s has media type %.100q", layer.Digest, layer.MediaType)
		}
	}
	return doc, checkDescriptors(append([]ocispec.Descriptor{*doc.Config}, doc.Layers...), limits)
}

// layerType tells tar layers, also foreign ones, whose foreign addresses are ignored.
func layerType(t string) bool {
	return strings.HasPrefix(t, "application/vnd.oci.image.layer.v1.tar") ||
		strings.HasPrefix(t, "application/vnd.oci.image.layer.nondistributable.v1.tar") ||
		strings.HasPrefix(t, "application/vnd.docker.image.rootfs.diff.tar") ||
		strings.HasPrefix(t, "application/vnd.docker.image.rootfs.foreign.diff.tar")
}

func checkDescriptors(descriptors []ocispec.Descriptor, limits Limits) error {
	if len(descriptors) > 4096 {
		return refused("it lists %d parts", len(descriptors))
	}
	for _, d := range descriptors {
		if _, err := hexOf(string(d.Digest)); err != nil {
			return err
		}
		if d.Size < 0 {
			return refused("%s has the size %d", d.Digest, d.Size)
		}
	}
	return nil
}

// choose returns the entry of an index for the store's platform: of the variants that it
// can run the highest, as containerd does.
func (c Config) choose(doc document) (ocispec.Descriptor, error) {
	var seen []string
	var best *ocispec.Descriptor
	for i, d := range doc.Manifests {
		if !isManifest(d.MediaType) && !isIndex(d.MediaType) {
			continue
		}
		if d.Platform == nil {
			if len(doc.Manifests) == 1 {
				return d, nil
			}
			continue
		}
		if d.Platform.OS == "unknown" { // attestations of buildkit
			continue
		}
		seen = append(seen, strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/"))
		level := variant(c.Arch, d.Platform.Variant)
		if d.Platform.OS != c.OS || d.Platform.Architecture != c.Arch || level > variant(c.Arch, c.Variant) {
			continue
		}
		if best == nil || level > variant(c.Arch, best.Platform.Variant) {
			best = &doc.Manifests[i]
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w %s/%s: it has %.300s: choose another image or agent",
			ErrPlatform, c.OS, c.Arch, strings.Join(seen, ", "))
	}
	return *best, nil
}

// variant is the level of a variant of an architecture; without one it is what every
// such machine is: v1 of amd64, v7 of arm, v8 of arm64. One that is no level runs nowhere.
func variant(arch, text string) int {
	if text == "" {
		return map[string]int{"arm": 7, "arm64": 8}[arch] + map[string]int{"amd64": 1}[arch]
	}
	level, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
	if err != nil || level < 0 {
		return 1 << 30
	}
	return level
}

// decodeConfig reads an image configuration, and checks it against the manifest.
func (c Config) decodeConfig(data []byte, layers int) (ocispec.Image, error) {
	var config ocispec.Image
	if int64(len(data)) > c.Limits.Document {
		return config, refused("configuration of %d bytes is larger than %d", len(data), c.Limits.Document)
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return config, refused("configuration is not valid: %s", oneLine(err))
	}
	if config.OS != "" && config.OS != c.OS || config.Architecture != "" && config.Architecture != c.Arch {
		return config, fmt.Errorf("%w %s/%s: it is made for %.20s/%.20s: choose another image or agent",
			ErrPlatform, c.OS, c.Arch, config.OS, config.Architecture)
	}
	if len(config.RootFS.DiffIDs) != layers {
		return config, refused("configuration names %d layers, the manifest %d", len(config.RootFS.DiffIDs), layers)
	}
	for _, id := range config.RootFS.DiffIDs {
		if _, err := hexOf(string(id)); err != nil {
			return config, err
		}
	}
	return config, nil
}
