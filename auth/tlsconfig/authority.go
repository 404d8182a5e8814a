package tlsconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"agora.dev/agora/auth/httpauth"
)

// Lives of what an authority makes.
const (
	rootLife = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// skew is how far clocks of other machines may be behind.
	skew = 5 * time.Minute
)

// Authority issues certificates for the machines and people of one cluster.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes one with a fresh key.
func NewAuthority(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	a := &Authority{key: key}
	if a.certificate, err = sign(template, template, key, key, rootLife); err != nil {
		return nil, err
	}
	return a, nil
}

// LoadAuthority reads the authority of a directory, and makes one where there is none: ca.pem and
// ca-key.pem, the latter for its owner only.
func LoadAuthority(dir, name string) (*Authority, error) {
	certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	switch {
	case err == nil:
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if !ok || !pair.Leaf.IsCA {
			return nil, fmt.Errorf("%s is not an authority that this program made", certFile)
		}
		return &Authority{pair.Leaf, key}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read authority: %w", err)
	}
	a, err := NewAuthority(name)
	if err != nil {
		return nil, err
	}
	return a, a.writePair(certFile, keyFile, a.certificate, a.key)
}

// Leaf is what a certificate is for.
type Leaf struct {
	// Principal is whom it names, as agora:principal/NAME; empty for a server that is no client.
	Principal string
	// Hosts are the names and addresses that a server is reached at.
	Hosts []string
}

// Issue makes a certificate and its key.
func (a *Authority) Issue(leaf Leaf) (*tls.Certificate, error) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: leaf.Principal}, KeyUsage: x509.KeyUsageDigitalSignature}
	if leaf.Principal != "" {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		uri, err := url.Parse(httpauth.PrincipalURI + leaf.Principal)
		if err != nil {
			return nil, fmt.Errorf("principal %q cannot be in a certificate: %w", leaf.Principal, err)
		}
		template.URIs = []*url.URL{uri}
	}
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(leaf.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := sign(template, a.certificate, key, a.key, leafLife)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}, nil
}

// IssueFiles issues into dir: NAME.pem and NAME-key.pem, and the root beside them as ca.pem. The
// options serve and dial with them.
func (a *Authority) IssueFiles(dir, name string, leaf Leaf) (Options, error) {
	issued, err := a.Issue(leaf)
	if err != nil {
		return Options{}, err
	}
	options := Options{CertFile: filepath.Join(dir, name+".pem"), KeyFile: filepath.Join(dir, name+"-key.pem"),
		CAFile: filepath.Join(dir, "ca.pem"), VerifyServerCert: true}
	if err := a.writePair(options.CertFile, options.KeyFile, issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey)); err != nil {
		return Options{}, err
	}
	return options, replace(options.CAFile, a.RootPEM(), 0o644)
}

// RootPEM is the root that others have to trust.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-skew), now.Add(life)
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return x509.ParseCertificate(raw)
}

func (a *Authority) writePair(certFile, keyFile string, certificate *x509.Certificate, key *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(keyFile), 0o700); err != nil {
		return err
	}
	if err := replace(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		return err
	}
	return replace(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}), 0o644)
}

// replace writes a file whole: readers see the old one or the new one.
func replace(path string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
