package main

import (
	"time"

	"github.com/ngmq/ngmq/server"
)

// protocolFlags are the flags about MQTT itself, named like the fields of server.Config
// and server.Limits that they set.
type protocolFlags struct {
	ScramUsers         string             `name:"scram-users" placeholder:"FILE" help:"Users who log in by SCRAM-SHA-256 (MQTT 5.0 enhanced authentication), a line of ngmqd credential per user. Other clients are refused then, unless --allow-anonymous."`
	SysInterval        time.Duration      `placeholder:"TIME" default:"${sysinterval}" help:"How often the server publishes its numbers in $$SYS/broker/, retained; 0 switches that off. Default: ${default}."`
	ResponsePrefix     string             `placeholder:"TOPIC" help:"Beginning of the Response Information for clients that ask for it: with response/ the client a is told response/a/. Default: none."`
	CheckPayloadFormat bool               `help:"Refuse messages that say to be UTF-8 and are not."`
	MaxQueuedMessages  int                `placeholder:"N" help:"How many messages wait for one session, connected or not. Default: 10000."`
	MaxQueuedBytes     int                `placeholder:"BYTES" help:"Size of the messages that wait for one session. Default: 32 MiB."`
	MaxQueuedAge       time.Duration      `placeholder:"TIME" help:"How long a message may wait for a session before it is dropped. Default: for ever."`
	QueuePolicy        server.QueuePolicy `placeholder:"WHAT" default:"drop-new" help:"What to do when that is full: drop-new, drop-old, or disconnect the client. Default: ${default}."`
}

// apply puts the flags into c.
func (f *protocolFlags) apply(c *server.Config) error {
	c.SysInterval = f.SysInterval
	if f.SysInterval == 0 {
		c.SysInterval = -1
	}
	c.ResponsePrefix = f.ResponsePrefix
	c.CheckPayloadFormat = f.CheckPayloadFormat
	c.Limits.MaxQueuedMessages = f.MaxQueuedMessages
	c.Limits.MaxQueuedBytes = f.MaxQueuedBytes
	c.Limits.MaxQueuedAge = f.MaxQueuedAge
	c.Limits.QueuePolicy = f.QueuePolicy
	if f.ScramUsers == "" {
		return nil
	}
	users, err := readUsers(f.ScramUsers)
	c.Authenticators = []server.Authenticator{server.SCRAM(users)}
	return err
}
