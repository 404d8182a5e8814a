package images

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifests of docker's schema 1 name packed layers, the youngest first, and describe each in a
// text of its own; there is no configuration, and nothing says what a layer is unpacked. So
// that it can be stored like any other, such an image is converted: its layers are fetched and
// measured, and its configuration is made of the youngest layer's text.

// schema1Doc is such a manifest, without the members that nothing is taken from.
type schema1Doc struct {
	SchemaVersion int `json:"schemaVersion"`
	FSLayers      []struct {
		BlobSum string `json:"blobSum"`
	} `json:"fsLayers"`
	History []struct {
		V1Compatibility string `json:"v1Compatibility"`
	} `json:"history"`
	Signatures []schema1Signature `json:"signatures"`
}

// schema1Signature is a JWS with its content left out (libtrust's pretty signature).
type schema1Signature struct {
	Header struct {
		Alg string `json:"alg"`
		JWK struct {
			Kty string `json:"kty"`
			Crv string `json:"crv"`
			X   string `json:"x"`
			Y   string `json:"y"`
		} `json:"jwk"`
	} `json:"header"`
	Signature string `json:"signature"`
	Protected string `json:"protected"`
}

func isSchema1(mediaType string) bool { return strings.HasPrefix(mediaType, schema1) }

// schema1Payload is what was signed, which is what has the manifest's digest. Signatures that
// are there must be right; whose they are they do not say.
func schema1Payload(data []byte) ([]byte, error) {
	var doc schema1Doc
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, refused("manifest is not valid JSON: %s", oneLine(err))
	}
	payload := data
	for i, signature := range doc.Signatures {
		signed, err := signature.payload(data)
		if err != nil {
			return nil, refused("signature %d of the manifest: %s", i, oneLine(err))
		}
		if i > 0 && !bytes.Equal(signed, payload) {
			return nil, refused("the signatures of the manifest are of different texts")
		}
		payload = signed
	}
	return payload, nil
}

// payload gives the text that a signature is of, once it has been verified.
func (s schema1Signature) payload(data []byte) ([]byte, error) {
	var protected struct {
		FormatLength int    `json:"formatLength"`
		FormatTail   string `json:"formatTail"`
	}
	header, err := base64.RawURLEncoding.DecodeString(s.Protected)
	if err == nil {
		err = json.Unmarshal(header, &protected)
	}
	tail, tailErr := base64.RawURLEncoding.DecodeString(protected.FormatTail)
	if err != nil || tailErr != nil || protected.FormatLength < 0 || protected.FormatLength > len(data) {
		return nil, fmt.Errorf("its protected header is broken")
	}
	payload := slices.Concat(data[:protected.FormatLength], tail)
	key, err := s.key()
	if err != nil {
		return nil, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(s.Signature)
	if err != nil || len(raw) != 64 {
		return nil, fmt.Errorf("it is no signature of ES256")
	}
	sum := sha256.Sum256([]byte(s.Protected + "." + base64.RawURLEncoding.EncodeToString(payload)))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
		return nil, fmt.Errorf("it does not fit")
	}
	return payload, nil
}

func (s schema1Signature) key() (*ecdsa.PublicKey, error) {
	jwk := s.Header.JWK
	x, errX := base64.RawURLEncoding.DecodeString(jwk.X)
	y, errY := base64.RawURLEncoding.DecodeString(jwk.Y)
	if s.Header.Alg != "ES256" || jwk.Kty != "EC" || jwk.Crv != "P-256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return nil, fmt.Errorf("algorithm %.20q with key %.20q %.20q is not ES256 with P-256", s.Header.Alg, jwk.Kty, jwk.Crv)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, fmt.Errorf("its key is no point of P-256")
	}
	return key, nil
}

// schema1 makes a candidate of a manifest's payload.
func (r *route) schema1(ctx context.Context, payload []byte) (*candidate, error) {
	var doc schema1Doc
	if err := json.Unmarshal(payload, &doc); err != nil {
		return nil, refused("manifest is not valid JSON: %s", oneLine(err))
	}
	if doc.SchemaVersion != 1 || len(doc.FSLayers) == 0 || len(doc.FSLayers) != len(doc.History) || len(doc.FSLayers) > r.limits.Layers {
		return nil, refused("manifest of schema %d has %d layers and a history of %d", doc.SchemaVersion, len(doc.FSLayers), len(doc.History))
	}
	c := &candidate{digest: digestOf(payload), manifest: payload}
	var config ocispec.Image
	if err := json.Unmarshal([]byte(doc.History[0].V1Compatibility), &config); err != nil {
		return nil, refused("history of the manifest is not valid: %s", oneLine(err))
	}
	config.RootFS = ocispec.RootFS{Type: "layers"}
	for i := len(doc.FSLayers) - 1; i >= 0; i-- {
		var text struct {
			Throwaway bool `json:"throwaway"`
		}
		if err := json.Unmarshal([]byte(doc.History[i].V1Compatibility), &text); err != nil {
			return nil, c.dropped(refused("history of the manifest is not valid: %s", oneLine(err)))
		}
		if text.Throwaway {
			continue
		}
		diffID, err := r.measure(ctx, c, doc.FSLayers[i].BlobSum)
		if err != nil {
			return nil, c.dropped(fmt.Errorf("layer %s: %w", doc.FSLayers[i].BlobSum, err))
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.Digest(diffID))
	}
	data, err := json.Marshal(config)
	if err != nil {
		return nil, c.dropped(err)
	}
	c.config, c.id = data, digestOf(data)
	return c, nil
}

// dropped closes what was fetched for a candidate that comes to nothing.
func (c *candidate) dropped(err error) error {
	c.close()
	return err
}

// close lets go of the files of layers that were fetched beforehand.
func (c *candidate) close() {
	for _, file := range c.spooled {
		file.Close()
	}
	c.spooled = nil
}

// measure fetches a layer into a file without a name, and gives the digest of what is packed in it.
func (r *route) measure(ctx context.Context, c *candidate, blobSum string) (diffID string, err error) {
	if _, err := hexOf(blobSum); err != nil {
		return "", err
	}
	blob, err := r.open(ctx, ocispec.Descriptor{Digest: digest.Digest(blobSum), Size: -1})
	if err != nil {
		return "", err
	}
	defer blob.Close()
	file, err := os.CreateTemp(r.spool, "layer-")
	if err != nil {
		return "", err
	}
	c.spooled = append(c.spooled, file)
	if err := os.Remove(file.Name()); err != nil {
		return "", err
	}
	algorithm, sum := hashLike(blobSum)
	size, err := io.Copy(io.MultiWriter(file, sum), io.LimitReader(blob, r.limits.ImageBytes+1))
	if err != nil {
		return "", err
	}
	if size > r.limits.ImageBytes {
		return "", refused("it has more than %d bytes", r.limits.ImageBytes)
	}
	if got := algorithm + hex.EncodeToString(sum.Sum(nil)); got != blobSum {
		return "", fmt.Errorf("%w: it is %s", ErrDigestMismatch, got)
	}
	packed := func() io.Reader { return io.NewSectionReader(file, 0, size) }
	counted := &countingReader{ctx: ctx, inner: packed(), each: func(int64) {}}
	plain, err := decompress(counted)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	guard := &guardedReader{inner: plain, packed: counted, limits: r.limits, sum: sha256.New()}
	if _, err := io.Copy(io.Discard, guard); err != nil {
		return "", archiveError(err)
	}
	c.layers = append(c.layers, layerSource{digest: blobSum, size: size,
		open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(packed()), nil }})
	return "sha256:" + hex.EncodeToString(guard.sum.Sum(nil)), nil
}
