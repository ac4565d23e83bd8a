package main

// manual is what the flags do not tell about a command, for ngmq help.
type manual struct {
	description []string    // paragraphs
	lists       []itemList  // further sections
	examples    [][2]string // what for, command line
}

// itemList is a section with a list.
type itemList struct {
	title string
	items [][2]string // term, meaning
}

// exitStatuses are the statuses of all commands, in the order of their numbers.
var exitStatuses = [][2]string{
	{"0", "Done. A signal is a normal end of sub and of bench, which then prints what it has."},
	{"1", "Wrong use: flags, files, and everything not listed here."},
	{"5", "Refused by the broker: the connection, a subscription or a message."},
	{"7", "The connection was lost. bench: some clients lost it, or could not connect."},
	{"14", "No connection: name, network, TLS, QUIC. The message says what to do."},
	{"27", "Timeout: -W of sub, and of rr without a response."},
	{"shell", "From a file or pipe, that of the first command that failed; at a terminal 0."},
}

var formatItems = itemList{"FORMAT", [][2]string{
	{"%t %p %x %X", "topic; payload as it is, in hexadecimal, in upper case hexadecimal"},
	{"%l %q %r %m", "length of the payload, QoS, retained (1 or 0), packet identifier"},
	{"%A %C %D %E %F %P %R %S", "MQTT 5: topic alias, content type, correlation data, message expiry interval, payload format indicator, user properties, response topic, subscription identifier"},
	{"%j %J", "JSON; with the payload as a string, with the payload as JSON"},
	{"%I %U", "time in ISO 8601, seconds since 1970 with nanoseconds"},
	{"@X @N", "time: %X of strftime(3); nanoseconds"},
	{`%% @@ \\ \n \t \r \a \e \v \0`, "these characters"},
	{"%-10.5t", "left aligned in 10 characters, 5 at most; %010l pads with zeros"},
}}

var manuals = map[string]manual{
	"": {description: []string{
		"MQTT client for QUIC, TCP, TLS, WebSocket and Unix sockets. pub, sub and rr take the flags of mosquitto_pub, mosquitto_sub and mosquitto_rr; -h is the host.",
		"Where to connect is a URL (--url): quic://host[:14567], mqtt://host[:1883], mqtts://host[:8883], ws://host[:80]/mqtt, wss://host[:443]/mqtt, unix:///path.",
	}, examples: [][2]string{
		{"Everything that a development broker on this machine publishes:", "ngmq sub --url quic://localhost --cafile ~/.local/share/ngmq/dev-ca.crt -t '#' -v"},
		{"Shell completion, for this session of bash:", "source <(ngmq completion bash)"},
		{"This page as a manual page:", "ngmq help --man > ngmq.1 && man ./ngmq.1"},
	}},
	"pub": {description: []string{"Publishes one message, a file, the input, or each line of the input, waits for the acknowledgements and disconnects."},
		examples: [][2]string{
			{"A retained message over QUIC:", "ngmq pub --url quic://localhost --cafile ca.crt -t room/1/temperature -m 21.5 -r -q 1"},
			{"With properties:", `ngmq pub -t a -m '{"x":1}' -D publish content-type application/json -D publish user-property source test`},
			{"Each line of a log:", "tail -f app.log | ngmq pub -t logs/app -l -q 1"},
		}},
	"sub": {description: []string{"Subscribes and prints what comes, until -C messages, -W seconds or a signal."},
		lists: []itemList{formatItems},
		examples: [][2]string{
			{"As JSON lines:", "ngmq sub -t 'sensors/#' -F %j"},
			{"With time, topic and payload in columns:", "ngmq sub -t '#' -F '@H:@M:@S  %-30t %p'"},
			{"Delete all retained messages below a topic:", "ngmq sub -t 'old/#' --remove-retained --retained-only -W 3"},
		}},
	"rr": {description: []string{
		"Subscribes to the response topic (-e), publishes a request and prints the first response. With MQTT 5 the request carries the response topic, and a response with other correlation data than the request's is not taken.",
	}, lists: []itemList{formatItems}, examples: [][2]string{
		{"Ask a service:", "ngmq rr -t service/time -m now -W 5"},
		{"Answer on the command line, elsewhere:", "ngmq sub -t service/time -C 1 -F '%R' | xargs -I TOPIC ngmq pub -t TOPIC -m noon"},
	}},
	"ping": {description: []string{
		"Connects, waits for the CONNACK, sends PINGREQ and disconnects, and prints how long each phase took: DNS, TCP, TLS, WebSocket or the QUIC handshake, CONNACK. Over TLS and QUIC it does so again with the session ticket (resumed), over QUIC once more with CONNECT as early data (0-RTT): quic is then the time until it can be sent, and connack holds the round trip.",
		"ping is the shortest of three PINGREQ round trips.",
	}, examples: [][2]string{
		{"Ten times, with medians:", "ngmq ping --url quic://broker.example -C 10"},
	}},
	"bench": {description: []string{
		"Connects many clients, loads the broker and measures. While it runs it shows the state on standard error; the result goes to standard output as text, JSON or CSV. A signal ends the measuring, and the result so far is printed.",
		"bench conn connects clients at a rate (-R) and keeps them. bench pub and bench sub publish and subscribe; times are those from one to the other when both run with payloads of 16 bytes or more on machines with the same clock. bench rtt has each client receive what it publishes. bench compare does that with two servers or transports, in turns, and prints a table.",
		"A client that loses its connection connects again and goes on, with a new session: so a long measurement outlives a restart of the broker. What was not acknowledged, or would have been due meanwhile, is not sent later. The result counts connections lost and reconnected; with --no-reconnect clients stay away.",
		"The latency of a message counts from the moment at which it was due (--rate): what waits because the broker or the network is slow, waits on the clock.",
		"--netem loss=1%,delay=50ms,rate=10mbit puts a proxy in between, which makes the path worse in each direction; delay is one way. Datagrams of QUIC are really lost. A proxy of TCP cannot lose segments: there, loss is a model of retransmissions with RACK (RFC 8985). A lost segment and everything behind it arrives a round trip and a quarter after the next segment, or after a timeout of a round trip and 200 ms; a lost SYN costs a second. The congestion window is not modelled: bulk transfers over real TCP suffer more. For the real thing use network namespaces and tc netem, as root.",
		"All QUIC connections share one set of sockets and event loops: 20,000 idle ones took 1.2 GB here, 59 kB each.",
	}, examples: [][2]string{
		{"1,000 QUIC connections, 200 new ones per second, kept for a minute:", "ngmq bench conn --url quic://localhost --cafile ca.crt -c 1000 -R 200 --duration 1m"},
		{"QUIC with one stream and with eight, and TLS over TCP, on a bad path:", "ngmq bench compare quic://localhost mqtts://localhost --cafile ca.crt --streams 8 -r 200 --netem loss=1%,delay=50ms"},
		{"50 publishers with 100 messages a second each, for 30 seconds, as JSON:", "ngmq bench pub -c 50 -r 100 -t 'load/%i' -q 1 --duration 30s --format json"},
	}},
	"shell": {description: []string{
		"Reads commands from the terminal, with editing, history and completion, or from a file or pipe: connect, disconnect, sub, unsub, pub, format, status, help, quit. Messages appear when they come. With --url, -h, -p or --unix it connects at once.",
	}, examples: [][2]string{
		{"Over QUIC:", "ngmq shell --url quic://localhost --cafile ca.crt"},
	}},
	"gencert": {description: []string{
		"Makes a certificate authority, a server certificate and client certificates for test set-ups. What is there and good for another week is kept. The CA's key lies beside the certificates: do not use them for anything else.",
	}, examples: [][2]string{
		{"For a broker of this name, and a client:", "ngmq gencert -o certs broker.test --client meter-7"},
	}},
	"completion": {description: []string{"Prints a completion script for a shell."},
		examples: [][2]string{
			{"bash, for good:", "ngmq completion bash > ~/.local/share/bash-completion/completions/ngmq"},
			{"zsh, for good, in a folder of $fpath:", "ngmq completion zsh > ~/.zsh/completions/_ngmq"},
			{"fish, for good:", "ngmq completion fish > ~/.config/fish/completions/ngmq.fish"},
		}},
}
