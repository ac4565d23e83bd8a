// Package server is an MQTT server for programs to embed: MQTT 3.1, 3.1.1 and 5.0
// over QUIC, TCP, TLS, WebSocket and Unix sockets. The server command ngmqd is this
// package with flags.
//
//	s, err := server.New(server.Config{})   // sockets are open, nobody is served yet
//	err = s.HandlePublish("sensors/#", f)   // f sees every message that matches
//	err = s.Run(ctx)                        // serves until ctx ends
//	conn, err := s.Dial(ctx)                // a client of the same process, without a network
//
// The build tag noquic makes a server without QUIC, which needs no cgo: QUIC
// is off by default then, and an address for it is refused.
//
// # Pipeline
//
//	Config -> Validate -> certificates -> sockets -> Run: listeners -> broker -> listeners
//
// New does everything that can fail; an error leaves nothing open. Run starts the
// listeners, which feed the broker what clients send and write what it has for them.
//
// # Ownership
//
//	what                              who
//	Server                            the caller; every method may be called from any goroutine
//	Config                            copied by New; the slices in it must not be changed afterwards
//	handlers                          called on the goroutine of the client that they are about: they
//	                                  must not block, over QUIC they would hold up other clients too
//	*Client                           does not change, may be kept; a client that moves gets a new one
//	events given to handlers,         the handler, until it returns
//	with all slices in them
//	Publication given to Publish      the caller again, when Publish returns
//
// # Hooks
//
//	who may connect           Handlers.Connect
//	who may use which topic   Handlers.Authorize, asked for each message, will and filter
//	what is published         Server.HandlePublish: drop, refuse, change topic, payload, properties
//	what a receiver gets      Handlers.Deliver: keep it away, change it for this receiver alone
//	what is subscribed        Handlers.Subscribe: refuse, lower the QoS, answer with messages
//	clients and sessions      Handlers.Connected, Disconnect, Session
//	addresses that change     Handlers.Moved
//
// The directory examples has programs: basic, handlers, publish and requestresponse.
//
// A handler that panics costs the request it was about: it is caught, logged and
// counted, and the server goes on.
package server
