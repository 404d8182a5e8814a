package images

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// restore gives an image of an archive the digests by which it was known where it was saved,
// when what came with it proves them: a manifest of that digest that names the image's
// configuration, and an index of its digest that names that manifest.
func (s *Store) restore(b bundle, c *candidate, d ocispec.Descriptor) error {
	known := d.Annotations[annotationManifest]
	if known == "" {
		return nil
	}
	var manifest, index document
	data, err := s.proof(b, known, &manifest)
	if err != nil {
		return err
	}
	if manifest.Config == nil || string(manifest.Config.Digest) != c.id {
		return refused("manifest %s is not of the image that it is said to be of", known)
	}
	c.digest, c.manifest = known, data
	if known = d.Annotations[annotationIndex]; known == "" {
		return nil
	}
	if data, err = s.proof(b, known, &index); err != nil {
		return err
	}
	for _, entry := range index.Manifests {
		if string(entry.Digest) == c.digest {
			c.index, c.indexData = known, data
			return nil
		}
	}
	return refused("index %s does not name the manifest %s", known, c.digest)
}

func (s *Store) proof(b bundle, known string, doc *document) ([]byte, error) {
	name, err := blobName(known)
	if err != nil {
		return nil, err
	}
	data, err := s.document(b, name)
	if err != nil {
		return nil, err
	}
	if got := digestLike(known, data); got != known {
		return nil, fmt.Errorf("%w: %s is %s", ErrDigestMismatch, known, got)
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, refused("%s is not valid: %s", known, oneLine(err))
	}
	return data, nil
}

// checkName refuses to know an image by a digest that is not its own.
func (c *candidate) checkName(ref Reference) error {
	if ref.Digest == "" || ref.Digest == c.digest || ref.Digest == c.index {
		return nil
	}
	return fmt.Errorf("%w: the archive calls it %s, and it is %s", ErrDigestMismatch, ref, c.digest)
}
