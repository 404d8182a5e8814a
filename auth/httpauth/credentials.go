package httpauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Credentials are secrets by principal.
type Credentials map[string]string

// ReadCredentials reads Mesos's credentials file: {"credentials":[{"principal":…,"secret":…}]}, or a
// line "principal secret" each. Only its owner may be able to read it.
func ReadCredentials(path string) (Credentials, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	credentials, err := parseCredentials(text)
	if err != nil {
		return nil, fmt.Errorf("credentials %s: %w", path, err)
	}
	return credentials, nil
}

// ReadCredential reads the file of one credential: {"principal":…,"secret":…}, or one line.
func ReadCredential(path string) (principal, secret string, err error) {
	text, err := readSecret(path)
	if err != nil {
		return "", "", fmt.Errorf("credential: %w", err)
	}
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("{")) && !bytes.Contains(text, []byte(`"credentials"`)) {
		text = fmt.Appendf(nil, `{"credentials":[%s]}`, text)
	}
	all, err := parseCredentials(text)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("one credential is expected, not %d", len(all))
	}
	if err != nil {
		return "", "", fmt.Errorf("credential %s: %w", path, err)
	}
	for principal, secret = range all {
	}
	return principal, secret, nil
}

// ReadSecret reads a file that holds one secret; white space at its ends does not count.
func ReadSecret(path string) (string, error) {
	text, err := readSecret(path)
	if err != nil {
		return "", err
	}
	secret := string(bytes.TrimSpace(text))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// maxSecretFile bounds a file of secrets, in bytes.
const maxSecretFile = 16 << 20

// readSecret reads a file that nobody but its owner may read.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others (mode %04o); chmod 600 it", path, info.Mode().Perm())
	case info.Size() > maxSecretFile:
		return nil, fmt.Errorf("%s has %d bytes, at most %d", path, info.Size(), maxSecretFile)
	}
	return os.ReadFile(path)
}

func parseCredentials(text []byte) (Credentials, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return parseJSON(text)
	}
	out := Credentials{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: a principal and a secret are expected", number)
		}
		if err := out.add(fields[0], fields[1]); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return out, nil
}

func parseJSON(text []byte) (Credentials, error) {
	var file struct {
		Credentials []struct {
			Principal string
			Secret    string
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		// The decoder's text may repeat what stands there.
		return nil, errors.New(`not {"credentials":[{"principal":"...","secret":"..."}]}`)
	}
	out := Credentials{}
	for i, c := range file.Credentials {
		if err := out.add(c.Principal, c.Secret); err != nil {
			return nil, fmt.Errorf("credentials[%d]: %w", i, err)
		}
	}
	return out, nil
}

func (c Credentials) add(principal, secret string) error {
	switch {
	case principal == "":
		return errors.New("the principal is empty")
	case strings.ContainsAny(principal, ":\r\n\x00"):
		return fmt.Errorf("principal %q: a colon or a control character cannot be sent", principal)
	case secret == "":
		return fmt.Errorf("principal %q: the secret is empty", principal)
	}
	if _, twice := c[principal]; twice {
		return fmt.Errorf("principal %q stands there twice", principal)
	}
	c[principal] = secret
	return nil
}
