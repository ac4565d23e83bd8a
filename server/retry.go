package server

import "fmt"

// RetryPolicy says when QUIC clients have to prove their address with a Retry packet
// before a connection is made (RFC 9000 section 8.1.2).
type RetryPolicy uint8

const (
	// RetryAuto asks for it while very many handshakes are under way.
	RetryAuto RetryPolicy = iota
	// RetryNever makes connections at once. What is sent to an address that is not
	// proven is limited to three times what came from it.
	RetryNever
	// RetryAlways asks every client that does not bring a token of an earlier connection.
	RetryAlways
	numRetryPolicies
)

var retryNames = [numRetryPolicies]string{"auto", "never", "always"}

// String is "auto", "never" or "always".
func (p RetryPolicy) String() string {
	if p < numRetryPolicies {
		return retryNames[p]
	}
	return fmt.Sprintf("RetryPolicy(%d)", uint8(p))
}

// UnmarshalText reads what String gives.
func (p *RetryPolicy) UnmarshalText(text []byte) error {
	for i, name := range retryNames {
		if name == string(text) {
			*p = RetryPolicy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not auto, never or always", text)
}
