package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/ngmq/ngmq/mqtt/packet"
)

// properties are the values of -D, a block for each command.
type properties struct {
	blocks  map[string]packet.Properties
	aliases uint16 // publish topic-alias
}

// of is the block of a command; nil when there is none.
func (p *properties) of(command string) packet.Properties { return p.blocks[command] }

// commands are the packets that take properties from -D.
var commands = map[string]packet.Type{
	"connect": packet.CONNECT, "publish": packet.PUBLISH, "subscribe": packet.SUBSCRIBE, "unsubscribe": packet.UNSUBSCRIBE,
	"disconnect": packet.DISCONNECT, "will": packet.WillProperties,
}

// propertyIDs has the properties by their names with hyphens.
var propertyIDs = func() map[string]packet.PropertyID {
	ids := map[string]packet.PropertyID{}
	for id := packet.PayloadFormatIndicator; id <= packet.SharedSubscriptionAvailable; id++ {
		if slices.ContainsFunc(slices.Collect(maps.Values(commands)), id.AllowedIn) {
			ids[strings.ReplaceAll(strings.ToLower(id.String()), " ", "-")] = id
		}
	}
	return ids
}()

// Decode takes COMMAND NAME VALUE, or COMMAND user-property KEY VALUE, from the command
// line (kong.MapperValue). It is called once for each -D.
func (p *properties) Decode(ctx *kong.DecodeContext) error {
	words := make([]string, 3)
	for i := 0; i < len(words); i++ {
		var err error
		if words[i], err = nextWord(ctx); err != nil {
			return err
		}
		if i == 1 && strings.EqualFold(words[1], "user-property") {
			words = append(words, "")
		}
	}
	command, name := strings.ToLower(words[0]), strings.ToLower(words[1])
	packetType, ok := commands[command]
	if !ok {
		return fmt.Errorf("%q has no properties here: one of %s", command, sortedKeys(commands))
	}
	id, ok := propertyIDs[name]
	if !ok || !id.AllowedIn(packetType) {
		return fmt.Errorf("%s has no property %q: one of %s", command, name, propertiesOf(packetType))
	}
	return p.add(command, id, words[2], words[len(words)-1])
}

// add takes a value; of other properties than User Property the key is the value.
func (p *properties) add(command string, id packet.PropertyID, key, value string) error {
	block, err := appendProperty(p.blocks[command], id, key, value)
	if err != nil {
		return err
	}
	if err := block.Validate(commands[command]); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if n, is := block.Uint(packet.TopicAlias); is && command == "publish" {
		p.aliases = uint16(n) // the client library has the aliases
		return nil
	}
	if p.blocks == nil {
		p.blocks = map[string]packet.Properties{}
	}
	p.blocks[command] = block
	return nil
}

// appendProperty appends a property whose value stands on the command line.
func appendProperty(block packet.Properties, id packet.PropertyID, key, value string) (packet.Properties, error) {
	switch id {
	case packet.UserProperty:
		return packet.AppendUserProperty(block, key, value), nil
	case packet.ContentType, packet.ResponseTopic, packet.AuthenticationMethod, packet.ReasonString:
		return packet.AppendString(block, id, value), nil
	case packet.CorrelationData, packet.AuthenticationData:
		return packet.AppendBinary(block, id, []byte(value)), nil
	}
	n, err := strconv.ParseUint(value, 10, 32)
	tooLarge := fmt.Errorf("%s: %q is not a number that fits", strings.ToLower(id.String()), value)
	if err != nil {
		return nil, tooLarge
	}
	switch id {
	case packet.PayloadFormatIndicator, packet.RequestProblemInformation, packet.RequestResponseInformation:
		if n > 1 {
			return nil, fmt.Errorf("%s: 0 or 1, not %s", strings.ToLower(id.String()), value)
		}
		return packet.AppendByte(block, id, byte(n)), nil
	case packet.ReceiveMaximum, packet.TopicAliasMaximum, packet.TopicAlias:
		if n > 65535 {
			return nil, tooLarge
		}
		return packet.AppendUint16(block, id, uint16(n)), nil
	case packet.SubscriptionIdentifier:
		if n > packet.MaxRemainingLength {
			return nil, tooLarge
		}
		return packet.AppendVarint(block, id, uint32(n)), nil
	}
	return packet.AppendUint32(block, id, uint32(n)), nil
}

func nextWord(ctx *kong.DecodeContext) (string, error) {
	if ctx.Scan.Peek().IsEOL() {
		return "", errors.New("it takes COMMAND NAME VALUE, or COMMAND user-property KEY VALUE")
	}
	return fmt.Sprint(ctx.Scan.Pop().Value), nil
}

// propertiesOf lists the names for a packet.
func propertiesOf(t packet.Type) string {
	names := map[string]bool{}
	for name, id := range propertyIDs {
		if id.AllowedIn(t) {
			names[name] = true
		}
	}
	return sortedKeys(names)
}

func sortedKeys[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
