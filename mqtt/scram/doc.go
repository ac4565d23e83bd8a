// Package scram is SCRAM-SHA-256 (RFC 5802, RFC 7677), by which client and server prove
// to each other that they know a password without sending it. In MQTT 5.0 its messages
// are the Authentication Data of CONNECT, AUTH and CONNACK (sections 4.12 and 3.15), and
// Method is the Authentication Method.
//
//	client                                     server
//	Client.First   -> n,,n=user,r=...       -> Exchange.Next
//	Client.Next    <- r=...,s=salt,i=rounds <-
//	               -> c=biws,r=...,p=proof  -> Exchange.Next   done: Exchange.User
//	Client.Next    <- v=signature           <-
//	done
//
// Channel binding is not offered, and an authorisation identity other than the user name
// is refused. User names and passwords are not normalised by SASLprep (RFC 4013): those
// of printable ASCII need not be; of others, both ends have to use the same bytes.
//
// The package does no input and output and has no state but what its values hold.
package scram
