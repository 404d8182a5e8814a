package images

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// hexOf returns the digits of a digest; those have been checked when it was parsed,
// and are checked again here because they become a path. The lengths differ, so that
// digits of both algorithms may lie in one directory.
func hexOf(digest string) (string, error) {
	algorithm, digits, _ := strings.Cut(digest, ":")
	length := map[string]int{"sha256": sha256.Size, "sha512": sha512.Size}[algorithm] * 2
	if length == 0 || len(digits) != length || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("digest %.150q: %w: not a digest of sha256 or sha512", digest, ErrHostile)
	}
	return digits, nil
}

// hashLike starts a hash of the algorithm of a digest; sha256 unless that says otherwise.
func hashLike(digest string) (name string, sum hash.Hash) {
	if strings.HasPrefix(digest, "sha512:") {
		return "sha512:", sha512.New()
	}
	return "sha256:", sha256.New()
}

// digestLike is the digest of data by the algorithm of another digest.
func digestLike(digest string, data []byte) string {
	name, sum := hashLike(digest)
	sum.Write(data)
	return name + hex.EncodeToString(sum.Sum(nil))
}

func digestOf(data []byte) string { return digestLike("", data) }

// blobName is where an OCI layout keeps what has the digest.
func blobName(digest string) (string, error) {
	digits, err := hexOf(digest)
	if err != nil {
		return "", err
	}
	return "blobs/" + digest[:len("sha256")] + "/" + digits, nil
}

// chainID identifies a layer together with those below it (OCI image spec, config.md).
func chainID(parent, diffID string) string {
	if parent == "" {
		return diffID
	}
	return digestOf([]byte(parent + " " + diffID))
}
