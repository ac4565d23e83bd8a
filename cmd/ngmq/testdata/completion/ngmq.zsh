#compdef ngmq
_ngmq() {
  if (( CURRENT == 2 )); then
    local -a commands=(
      'pub:Publish messages.'
      'sub:Subscribe and print messages.'
      'rr:Publish a request and print the response.'
      'ping:Time how a connection comes about, phase by phase.'
      'bench:Load a broker and measure: conn, pub, sub, rtt, compare.'
      'shell:Connect, subscribe and publish interactively.'
      'gencert:Make certificates for test set-ups: CA, server, clients.'
      'completion:Print a completion script for bash, zsh or fish.'
      'help:Show the manual of a command: description, flags, examples, exit status.'
      'version:Show the versions of ngmq, ngtcp2 and OpenSSL, or that QUIC is not in this build.'
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
  pub)
    _arguments \
      '*--topic[Topic to publish to]:topic: ' \
      '*-t[Topic to publish to]:topic: ' \
      '*--stdin-line[Each line of the input is a message]' \
      '*-l[Each line of the input is a message]' \
      '*--retain[The broker keeps the message]' \
      '*-r[The broker keeps the message]' \
      '*--repeat[Publish N times (not with -l)]:repeat: ' \
      '*--repeat-delay[Wait between repetitions, e.g]:repeat-delay: ' \
      '*--message[The message]:message: ' \
      '*-m[The message]:message: ' \
      '*--file[The message is the content of this file]:file:_files' \
      '*-f[The message is the content of this file]:file:_files' \
      '*--null-message[The message is empty]' \
      '*-n[The message is empty]' \
      '*--stdin-file[The message is the whole input]' \
      '*-s[The message is the whole input]' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]' \
      '*--streams[Spread messages and subscriptions over N data streams, so that a lost packet, a large message or a slow subscription holds up one of them only]:streams: ' \
      '*--stream-by[With --streams  what decides about the stream, topic or qos]:stream-by:(topic qos)' \
      '*--stream[Use one data stream in place of the control stream  what is called so in this process]:stream: ' \
      '*--datagrams[Send messages of QoS 0 in datagrams, if the server takes them and they fit  what is lost is not sent again, and holds nothing up]' \
      '*--early-data[Send CONNECT with the first packets (0-RTT) of a connection that is resumed with --session-file, or by --reconnect  off, on, or auto, when it has no secrets and may come twice]:early-data:(off auto on)' \
      '*--session-file[Keep TLS sessions there and resume them next time  saves certificates over TLS and QUIC, and is needed for --early-data]:file:_files' \
      '*--id[Client id]:id: ' \
      '*-i[Client id]:id: ' \
      '*--id-prefix[Client id is PREFIX and the process id]:id-prefix: ' \
      '*-I[Client id is PREFIX and the process id]:id-prefix: ' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--keepalive[Keep alive; 0 turns it off]:keepalive: ' \
      '*-k[Keep alive; 0 turns it off]:keepalive: ' \
      '*--disable-clean-session[Go on with the session that the broker kept, and have it kept again]' \
      '*-c[Go on with the session that the broker kept, and have it kept again]' \
      '*--session-expiry-interval[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*-x[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*--qos[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*-q[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*--max-inflight[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*-M[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*--reconnect[Connect again when the connection is lost, and subscribe again if the session was lost too]' \
      '*--srv[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*-S[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*--follow-reference[Go where the broker sends this client (MQTT 5 Server Reference) when it refuses the connection, or with --reconnect ends it  with the same user and password, to five brokers in a row at most, and never from an encrypted connection to one that is not]' \
      '*--fallback[Try TLS and secure WebSocket at the same host too when QUIC gets nowhere]' \
      '*--property[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*-D[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*--will-topic[The broker publishes the will there when the connection is lost]:will-topic: ' \
      '*--will-payload[Payload of the will]:will-payload: ' \
      '*--will-qos[Quality of service of the will]:will-qos:(0 1 2)' \
      '*--will-retain[The broker keeps the will]'
    ;;
  sub)
    _arguments \
      '*--topic[Topic filter to subscribe to]:topic: ' \
      '*-t[Topic filter to subscribe to]:topic: ' \
      '*--filter-out[Do not print messages whose topic matches]:filter-out: ' \
      '*-T[Do not print messages whose topic matches]:filter-out: ' \
      '*--unsubscribe[Unsubscribe first; for -c]:unsubscribe: ' \
      '*-U[Unsubscribe first; for -c]:unsubscribe: ' \
      '*--count[End after N messages]:count: ' \
      '*-C[End after N messages]:count: ' \
      '*--timeout[End after this time, with exit status 27]:timeout: ' \
      '*-W[End after this time, with exit status 27]:timeout: ' \
      '*--no-retained[Do not print retained messages]' \
      '*-R[Do not print retained messages]' \
      '*--retained-only[Print retained messages only and end at the first one that is not]' \
      '*--remove-retained[Delete the retained messages that come, but those of -T]' \
      '*--random-filter[Print this share of the messages, chosen at random]:random-filter: ' \
      '*--retain-as-published[Have the retained flag as the publisher set it (MQTT 5)]' \
      '*--no-local[Do not receive what this client publishes (MQTT 5)]' \
      '*--exit-after-suback[End when the subscriptions are acknowledged]' \
      '*-E[End when the subscriptions are acknowledged]' \
      '*--verbose[Print the topic before each message, unless there is -F]' \
      '*-v[Print the topic before each message, unless there is -F]' \
      '*--format[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*-F[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*--pretty[Indent the JSON of %j and %J]' \
      '*--no-eol[Print no line end after a message]' \
      '*-N[Print no line end after a message]' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]' \
      '*--streams[Spread messages and subscriptions over N data streams, so that a lost packet, a large message or a slow subscription holds up one of them only]:streams: ' \
      '*--stream-by[With --streams  what decides about the stream, topic or qos]:stream-by:(topic qos)' \
      '*--stream[Use one data stream in place of the control stream  what is called so in this process]:stream: ' \
      '*--datagrams[Send messages of QoS 0 in datagrams, if the server takes them and they fit  what is lost is not sent again, and holds nothing up]' \
      '*--early-data[Send CONNECT with the first packets (0-RTT) of a connection that is resumed with --session-file, or by --reconnect  off, on, or auto, when it has no secrets and may come twice]:early-data:(off auto on)' \
      '*--session-file[Keep TLS sessions there and resume them next time  saves certificates over TLS and QUIC, and is needed for --early-data]:file:_files' \
      '*--id[Client id]:id: ' \
      '*-i[Client id]:id: ' \
      '*--id-prefix[Client id is PREFIX and the process id]:id-prefix: ' \
      '*-I[Client id is PREFIX and the process id]:id-prefix: ' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--keepalive[Keep alive; 0 turns it off]:keepalive: ' \
      '*-k[Keep alive; 0 turns it off]:keepalive: ' \
      '*--disable-clean-session[Go on with the session that the broker kept, and have it kept again]' \
      '*-c[Go on with the session that the broker kept, and have it kept again]' \
      '*--session-expiry-interval[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*-x[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*--qos[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*-q[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*--max-inflight[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*-M[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*--reconnect[Connect again when the connection is lost, and subscribe again if the session was lost too]' \
      '*--srv[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*-S[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*--follow-reference[Go where the broker sends this client (MQTT 5 Server Reference) when it refuses the connection, or with --reconnect ends it  with the same user and password, to five brokers in a row at most, and never from an encrypted connection to one that is not]' \
      '*--fallback[Try TLS and secure WebSocket at the same host too when QUIC gets nowhere]' \
      '*--property[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*-D[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*--will-topic[The broker publishes the will there when the connection is lost]:will-topic: ' \
      '*--will-payload[Payload of the will]:will-payload: ' \
      '*--will-qos[Quality of service of the will]:will-qos:(0 1 2)' \
      '*--will-retain[The broker keeps the will]'
    ;;
  rr)
    _arguments \
      '*--topic[Topic of the request]:topic: ' \
      '*-t[Topic of the request]:topic: ' \
      '*--response-topic[Topic of the response, where this client subscribes]:response-topic: ' \
      '*-e[Topic of the response, where this client subscribes]:response-topic: ' \
      '*--retain[The broker keeps the request]' \
      '*-r[The broker keeps the request]' \
      '*--no-retained[A retained message is not the response]' \
      '*-R[A retained message is not the response]' \
      '*--timeout[End when there is no response after this time, with exit status 27]:timeout: ' \
      '*-W[End when there is no response after this time, with exit status 27]:timeout: ' \
      '*--message[The message]:message: ' \
      '*-m[The message]:message: ' \
      '*--file[The message is the content of this file]:file:_files' \
      '*-f[The message is the content of this file]:file:_files' \
      '*--null-message[The message is empty]' \
      '*-n[The message is empty]' \
      '*--stdin-file[The message is the whole input]' \
      '*-s[The message is the whole input]' \
      '*--verbose[Print the topic before each message, unless there is -F]' \
      '*-v[Print the topic before each message, unless there is -F]' \
      '*--format[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*-F[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*--pretty[Indent the JSON of %j and %J]' \
      '*--no-eol[Print no line end after a message]' \
      '*-N[Print no line end after a message]' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]' \
      '*--streams[Spread messages and subscriptions over N data streams, so that a lost packet, a large message or a slow subscription holds up one of them only]:streams: ' \
      '*--stream-by[With --streams  what decides about the stream, topic or qos]:stream-by:(topic qos)' \
      '*--stream[Use one data stream in place of the control stream  what is called so in this process]:stream: ' \
      '*--datagrams[Send messages of QoS 0 in datagrams, if the server takes them and they fit  what is lost is not sent again, and holds nothing up]' \
      '*--early-data[Send CONNECT with the first packets (0-RTT) of a connection that is resumed with --session-file, or by --reconnect  off, on, or auto, when it has no secrets and may come twice]:early-data:(off auto on)' \
      '*--session-file[Keep TLS sessions there and resume them next time  saves certificates over TLS and QUIC, and is needed for --early-data]:file:_files' \
      '*--id[Client id]:id: ' \
      '*-i[Client id]:id: ' \
      '*--id-prefix[Client id is PREFIX and the process id]:id-prefix: ' \
      '*-I[Client id is PREFIX and the process id]:id-prefix: ' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--keepalive[Keep alive; 0 turns it off]:keepalive: ' \
      '*-k[Keep alive; 0 turns it off]:keepalive: ' \
      '*--disable-clean-session[Go on with the session that the broker kept, and have it kept again]' \
      '*-c[Go on with the session that the broker kept, and have it kept again]' \
      '*--session-expiry-interval[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*-x[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*--qos[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*-q[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*--max-inflight[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*-M[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*--reconnect[Connect again when the connection is lost, and subscribe again if the session was lost too]' \
      '*--srv[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*-S[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*--follow-reference[Go where the broker sends this client (MQTT 5 Server Reference) when it refuses the connection, or with --reconnect ends it  with the same user and password, to five brokers in a row at most, and never from an encrypted connection to one that is not]' \
      '*--fallback[Try TLS and secure WebSocket at the same host too when QUIC gets nowhere]' \
      '*--property[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*-D[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*--will-topic[The broker publishes the will there when the connection is lost]:will-topic: ' \
      '*--will-payload[Payload of the will]:will-payload: ' \
      '*--will-qos[Quality of service of the will]:will-qos:(0 1 2)' \
      '*--will-retain[The broker keeps the will]'
    ;;
  ping)
    _arguments \
      '*--id[Client id]:id: ' \
      '*-i[Client id]:id: ' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--count[Do it N times; medians follow]:count: ' \
      '*-C[Do it N times; medians follow]:count: ' \
      '*--interval[Wait between the times]:interval: ' \
      '*--timeout[Give a connection up after this time]:timeout: ' \
      '*-W[Give a connection up after this time]:timeout: ' \
      '*--fallback[When QUIC gets nowhere, time TLS at the same host, and then secure WebSocket, at their usual ports]' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]'
    ;;
  bench)
    _arguments \
      '*--clients[Number of clients]:clients: ' \
      '*-c[Number of clients]:clients: ' \
      '*--connect-rate[Connections begun per second, the ramp]:connect-rate: ' \
      '*-R[Connections begun per second, the ramp]:connect-rate: ' \
      '*--duration[Measure for this long, e.g]:duration: ' \
      '*--warmup[Do not count so long, once all are connected]:warmup: ' \
      '*--keepalive[Keep alive time of MQTT]:keepalive: ' \
      '*-k[Keep alive time of MQTT]:keepalive: ' \
      '*--connect-timeout[How long a client may take to be connected and subscribed]:connect-timeout: ' \
      '*--no-reconnect[A client that loses its connection stays away]' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--id-prefix[Client ids are PREFIX and a number]:id-prefix: ' \
      '*-I[Client ids are PREFIX and a number]:id-prefix: ' \
      '*--netem[Make the path worse, through a proxy in this process  loss=1%,delay=50ms,rate=10mbit or some of them, in each direction]:netem: ' \
      '*--format[Of the result  text, json or csv]:format:(text json csv)' \
      '*--out[Write the result there]:file:_files' \
      '*-o[Write the result there]:file:_files' \
      '*--histogram[Show histograms in the text]' \
      '*--progress[Show the state this often; 0  never]:progress: ' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]' \
      '*--topic[Topic  %i is the number of the client, %c its id, %u the user name, %s the number of the stream]:topic: ' \
      '*-t[Topic  %i is the number of the client, %c its id, %u the user name, %s the number of the stream]:topic: ' \
      '*--qos[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*-q[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*--streams[QUIC  use N data streams, as EMQX does, each with a topic of its own]:streams: ' \
      '*--datagrams[QUIC  messages of QoS 0 in datagrams, there and back, as far as the server knows that; what is lost is not sent again]' \
      '*--messages[End when each client has published N messages; sub  when all together have received N]:messages: ' \
      '*-n[End when each client has published N messages; sub  when all together have received N]:messages: ' \
      '*--size[Size of payloads]:size: ' \
      '*-s[Size of payloads]:size: ' \
      '*--rate[Messages per second of each client]:rate: ' \
      '*-r[Messages per second of each client]:rate: ' \
      '*--retain[Messages are retained]' \
      '*--max-inflight[Messages of QoS 1 and 2 of a client that may be unacknowledged]:max-inflight: ' \
      '*-M[Messages of QoS 1 and 2 of a client that may be unacknowledged]:max-inflight: ' \
      '*--rounds[Measure each N times, in turns]:rounds: ' \
      '1:word:(conn pub sub rtt compare)'
    ;;
  shell)
    _arguments \
      '*--verbose[Print the topic before each message, unless there is -F]' \
      '*-v[Print the topic before each message, unless there is -F]' \
      '*--format[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*-F[Print by this format  %t topic, %p payload, %x hexadecimal, %q QoS, %r retained, %l length, %I time, %j JSON, %J JSON with the payload as JSON; see ngmq help sub]:format: ' \
      '*--pretty[Indent the JSON of %j and %J]' \
      '*--no-eol[Print no line end after a message]' \
      '*-N[Print no line end after a message]' \
      '*--url[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*-L[quic //, mqtt // or mqtts //(user( password)@)host( port)(/topic)]:url:(quic\:// mqtts\:// mqtt\:// wss\:// ws\:// unix\:///)' \
      '*--host[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*-h[Host to connect to over TCP, or TLS with --cafile, --capath, --cert, --tls-use-os-certs or --insecure]:host: ' \
      '*--port[Port; 1883, with TLS 8883]:port: ' \
      '*-p[Port; 1883, with TLS 8883]:port: ' \
      '*--unix[Connect through this Unix socket]:file:_files' \
      '*--username[User name]:username: ' \
      '*-u[User name]:username: ' \
      '*--password[Password]:password: ' \
      '*-P[Password]:password: ' \
      '*--nodelay[Send small packets at once  this is always so here, as mosquitto does when asked]' \
      '*--cafile[CA certificates to trust, PEM]:file:_files' \
      '*--tls-use-os-certs[Use TLS and trust the CA certificates of the system]' \
      '*--cert[Client certificate, PEM]:file:_files' \
      '*--key[Key of the client certificate, PEM]:file:_files' \
      '*--servername[Name that the server'\''s certificate must have]:servername: ' \
      '*--insecure[Accept ANY server certificate]' \
      '*--keylog-file[Append the secrets of the connection to FILE, to decrypt a capture with]:file:_files' \
      '*--congestion-control[How to send over QUIC paths that may be full  cubic, bbr (faster where packets are lost for other reasons, but loses more itself on slow paths with short queues), or reno]:congestion-control: ' \
      '*--bind[Connect from this address of this machine]:bind: ' \
      '*-A[Connect from this address of this machine]:bind: ' \
      '*--proxy[Lead there through this SOCKS5 proxy  socks5h //(user( password)@)host( 1080)]:proxy: ' \
      '*--capath[Directory with CA certificates to trust, beside --cafile; PEM, under any names]:file:_files' \
      '*--tls-version[Oldest version to accept  tlsv1.2 or tlsv1.3]:tls-version: ' \
      '*--ciphers[Cipher suites of TLS 1.2 to offer, OpenSSL'\''s names with colons between]:ciphers: ' \
      '*--tls-alpn[Application protocol to offer]:tls-alpn: ' \
      '*--keyform[Form of --key  pem, the only one here  there are no engines]:keyform:(pem)' \
      '*--qlog-dir[Write a qlog file of a QUIC connection into DIR]:file:_files' \
      '*--debug[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*-d[Show what happens; pub, sub, rr and shell  and each packet, as mosquitto does, without payloads and secrets]' \
      '*--quiet[Show no errors]' \
      '*--streams[Spread messages and subscriptions over N data streams, so that a lost packet, a large message or a slow subscription holds up one of them only]:streams: ' \
      '*--stream-by[With --streams  what decides about the stream, topic or qos]:stream-by:(topic qos)' \
      '*--stream[Use one data stream in place of the control stream  what is called so in this process]:stream: ' \
      '*--datagrams[Send messages of QoS 0 in datagrams, if the server takes them and they fit  what is lost is not sent again, and holds nothing up]' \
      '*--early-data[Send CONNECT with the first packets (0-RTT) of a connection that is resumed with --session-file, or by --reconnect  off, on, or auto, when it has no secrets and may come twice]:early-data:(off auto on)' \
      '*--session-file[Keep TLS sessions there and resume them next time  saves certificates over TLS and QUIC, and is needed for --early-data]:file:_files' \
      '*--id[Client id]:id: ' \
      '*-i[Client id]:id: ' \
      '*--id-prefix[Client id is PREFIX and the process id]:id-prefix: ' \
      '*-I[Client id is PREFIX and the process id]:id-prefix: ' \
      '*--protocol-version[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*-V[mqttv5, mqttv311 or mqttv31; 5, 311 or 31]:protocol-version:(mqttv5 mqttv311 mqttv31)' \
      '*--keepalive[Keep alive; 0 turns it off]:keepalive: ' \
      '*-k[Keep alive; 0 turns it off]:keepalive: ' \
      '*--disable-clean-session[Go on with the session that the broker kept, and have it kept again]' \
      '*-c[Go on with the session that the broker kept, and have it kept again]' \
      '*--session-expiry-interval[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*-x[How long the broker keeps the session, -1 for ever (MQTT 5)]:session-expiry-interval: ' \
      '*--qos[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*-q[Quality of service  0, 1 or 2]:qos:(0 1 2)' \
      '*--max-inflight[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*-M[Messages of QoS 1 and 2 that may be unacknowledged]:max-inflight: ' \
      '*--reconnect[Connect again when the connection is lost, and subscribe again if the session was lost too]' \
      '*--srv[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*-S[-h is a domain  connect to its servers by DNS, _mqtt._tcp or with TLS _secure-mqtt._tcp, in their order]' \
      '*--follow-reference[Go where the broker sends this client (MQTT 5 Server Reference) when it refuses the connection, or with --reconnect ends it  with the same user and password, to five brokers in a row at most, and never from an encrypted connection to one that is not]' \
      '*--fallback[Try TLS and secure WebSocket at the same host too when QUIC gets nowhere]' \
      '*--property[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*-D[MQTT 5 property; COMMAND is connect, publish, subscribe, unsubscribe, disconnect or will]:property:(connect disconnect publish subscribe unsubscribe will)' \
      '*--will-topic[The broker publishes the will there when the connection is lost]:will-topic: ' \
      '*--will-payload[Payload of the will]:will-payload: ' \
      '*--will-qos[Quality of service of the will]:will-qos:(0 1 2)' \
      '*--will-retain[The broker keeps the will]'
    ;;
  gencert)
    _arguments \
      '*--out[Directory for the files]:file:_files' \
      '*-o[Directory for the files]:file:_files' \
      '*--client[Make a client certificate for NAME too]:client: '
    ;;
  completion)
    _arguments \
      '1:word:(bash zsh fish)'
    ;;
  help)
    _arguments \
      '*--man[As the source of a manual page, all commands in one]' \
      '1:word:(pub sub rr ping bench shell gencert completion help version)'
    ;;
  version)
    _arguments
    ;;
  esac
}
if [ "$funcstack[1]" = _ngmq ]; then _ngmq "$@"; else compdef _ngmq ngmq; fi
