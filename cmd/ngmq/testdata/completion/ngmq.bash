# bash completion of ngmq: source <(ngmq completion bash)
_ngmq() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "pub sub rr ping bench shell gencert completion help version --help" -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
  pub)
    case $prev in
    --topic|-t) return ;;
    --repeat) return ;;
    --repeat-delay) return ;;
    --message|-m) return ;;
    --file|-f) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --streams) return ;;
    --stream-by) COMPREPLY=($(compgen -W "topic qos" -- "$cur")); return ;;
    --stream) return ;;
    --early-data) COMPREPLY=($(compgen -W "off auto on" -- "$cur")); return ;;
    --session-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --id|-i) return ;;
    --id-prefix|-I) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --keepalive|-k) return ;;
    --session-expiry-interval|-x) return ;;
    --qos|-q) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    --max-inflight|-M) return ;;
    --property|-D) COMPREPLY=($(compgen -W "connect disconnect publish subscribe unsubscribe will" -- "$cur")); return ;;
    --will-topic) return ;;
    --will-payload) return ;;
    --will-qos) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    esac
    COMPREPLY=($(compgen -W "--topic -t --stdin-line -l --retain -r --repeat --repeat-delay --message -m --file -f --null-message -n --stdin-file -s --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet --streams --stream-by --stream --datagrams --early-data --session-file --id -i --id-prefix -I --protocol-version -V --keepalive -k --disable-clean-session -c --session-expiry-interval -x --qos -q --max-inflight -M --reconnect --srv -S --follow-reference --fallback --property -D --will-topic --will-payload --will-qos --will-retain" -- "$cur"))
    ;;
  sub)
    case $prev in
    --topic|-t) return ;;
    --filter-out|-T) return ;;
    --unsubscribe|-U) return ;;
    --count|-C) return ;;
    --timeout|-W) return ;;
    --random-filter) return ;;
    --format|-F) return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --streams) return ;;
    --stream-by) COMPREPLY=($(compgen -W "topic qos" -- "$cur")); return ;;
    --stream) return ;;
    --early-data) COMPREPLY=($(compgen -W "off auto on" -- "$cur")); return ;;
    --session-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --id|-i) return ;;
    --id-prefix|-I) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --keepalive|-k) return ;;
    --session-expiry-interval|-x) return ;;
    --qos|-q) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    --max-inflight|-M) return ;;
    --property|-D) COMPREPLY=($(compgen -W "connect disconnect publish subscribe unsubscribe will" -- "$cur")); return ;;
    --will-topic) return ;;
    --will-payload) return ;;
    --will-qos) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    esac
    COMPREPLY=($(compgen -W "--topic -t --filter-out -T --unsubscribe -U --count -C --timeout -W --no-retained -R --retained-only --remove-retained --random-filter --retain-as-published --no-local --exit-after-suback -E --verbose -v --format -F --pretty --no-eol -N --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet --streams --stream-by --stream --datagrams --early-data --session-file --id -i --id-prefix -I --protocol-version -V --keepalive -k --disable-clean-session -c --session-expiry-interval -x --qos -q --max-inflight -M --reconnect --srv -S --follow-reference --fallback --property -D --will-topic --will-payload --will-qos --will-retain" -- "$cur"))
    ;;
  rr)
    case $prev in
    --topic|-t) return ;;
    --response-topic|-e) return ;;
    --timeout|-W) return ;;
    --message|-m) return ;;
    --file|-f) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --format|-F) return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --streams) return ;;
    --stream-by) COMPREPLY=($(compgen -W "topic qos" -- "$cur")); return ;;
    --stream) return ;;
    --early-data) COMPREPLY=($(compgen -W "off auto on" -- "$cur")); return ;;
    --session-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --id|-i) return ;;
    --id-prefix|-I) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --keepalive|-k) return ;;
    --session-expiry-interval|-x) return ;;
    --qos|-q) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    --max-inflight|-M) return ;;
    --property|-D) COMPREPLY=($(compgen -W "connect disconnect publish subscribe unsubscribe will" -- "$cur")); return ;;
    --will-topic) return ;;
    --will-payload) return ;;
    --will-qos) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    esac
    COMPREPLY=($(compgen -W "--topic -t --response-topic -e --retain -r --no-retained -R --timeout -W --message -m --file -f --null-message -n --stdin-file -s --verbose -v --format -F --pretty --no-eol -N --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet --streams --stream-by --stream --datagrams --early-data --session-file --id -i --id-prefix -I --protocol-version -V --keepalive -k --disable-clean-session -c --session-expiry-interval -x --qos -q --max-inflight -M --reconnect --srv -S --follow-reference --fallback --property -D --will-topic --will-payload --will-qos --will-retain" -- "$cur"))
    ;;
  ping)
    case $prev in
    --id|-i) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --count|-C) return ;;
    --interval) return ;;
    --timeout|-W) return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    COMPREPLY=($(compgen -W "--id -i --protocol-version -V --count -C --interval --timeout -W --fallback --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet" -- "$cur"))
    ;;
  bench)
    case $prev in
    --clients|-c) return ;;
    --connect-rate|-R) return ;;
    --duration) return ;;
    --warmup) return ;;
    --keepalive|-k) return ;;
    --connect-timeout) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --id-prefix|-I) return ;;
    --netem) return ;;
    --format) COMPREPLY=($(compgen -W "text json csv" -- "$cur")); return ;;
    --out|-o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --progress) return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --topic|-t) return ;;
    --qos|-q) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    --streams) return ;;
    --messages|-n) return ;;
    --size|-s) return ;;
    --rate|-r) return ;;
    --max-inflight|-M) return ;;
    --rounds) return ;;
    esac
    COMPREPLY=($(compgen -W "--clients -c --connect-rate -R --duration --warmup --keepalive -k --connect-timeout --no-reconnect --protocol-version -V --id-prefix -I --netem --format --out -o --histogram --progress --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet --topic -t --qos -q --streams --datagrams --messages -n --size -s --rate -r --retain --max-inflight -M --rounds conn pub sub rtt compare" -- "$cur"))
    ;;
  shell)
    case $prev in
    --format|-F) return ;;
    --url|-L) compopt -o nospace; COMPREPLY=($(compgen -W "quic:// mqtts:// mqtt:// wss:// ws:// unix:///" -- "$cur")); return ;;
    --host|-h) return ;;
    --port|-p) return ;;
    --unix) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --username|-u) return ;;
    --password|-P) return ;;
    --cafile) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --cert) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --key) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --servername) return ;;
    --keylog-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --congestion-control) return ;;
    --bind|-A) return ;;
    --proxy) return ;;
    --capath) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --tls-version) return ;;
    --ciphers) return ;;
    --tls-alpn) return ;;
    --keyform) COMPREPLY=($(compgen -W "pem" -- "$cur")); return ;;
    --qlog-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --streams) return ;;
    --stream-by) COMPREPLY=($(compgen -W "topic qos" -- "$cur")); return ;;
    --stream) return ;;
    --early-data) COMPREPLY=($(compgen -W "off auto on" -- "$cur")); return ;;
    --session-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --id|-i) return ;;
    --id-prefix|-I) return ;;
    --protocol-version|-V) COMPREPLY=($(compgen -W "mqttv5 mqttv311 mqttv31" -- "$cur")); return ;;
    --keepalive|-k) return ;;
    --session-expiry-interval|-x) return ;;
    --qos|-q) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    --max-inflight|-M) return ;;
    --property|-D) COMPREPLY=($(compgen -W "connect disconnect publish subscribe unsubscribe will" -- "$cur")); return ;;
    --will-topic) return ;;
    --will-payload) return ;;
    --will-qos) COMPREPLY=($(compgen -W "0 1 2" -- "$cur")); return ;;
    esac
    COMPREPLY=($(compgen -W "--verbose -v --format -F --pretty --no-eol -N --url -L --host -h --port -p --unix --username -u --password -P --nodelay --cafile --tls-use-os-certs --cert --key --servername --insecure --keylog-file --congestion-control --bind -A --proxy --capath --tls-version --ciphers --tls-alpn --keyform --qlog-dir --debug -d --quiet --streams --stream-by --stream --datagrams --early-data --session-file --id -i --id-prefix -I --protocol-version -V --keepalive -k --disable-clean-session -c --session-expiry-interval -x --qos -q --max-inflight -M --reconnect --srv -S --follow-reference --fallback --property -D --will-topic --will-payload --will-qos --will-retain" -- "$cur"))
    ;;
  gencert)
    case $prev in
    --out|-o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --client) return ;;
    esac
    COMPREPLY=($(compgen -W "--out -o --client" -- "$cur"))
    ;;
  completion)
    case $prev in
    esac
    COMPREPLY=($(compgen -W "bash zsh fish" -- "$cur"))
    ;;
  help)
    case $prev in
    esac
    COMPREPLY=($(compgen -W "--man pub sub rr ping bench shell gencert completion help version" -- "$cur"))
    ;;
  version)
    case $prev in
    esac
    COMPREPLY=($(compgen -W "" -- "$cur"))
    ;;
  esac
}
complete -o bashdefault -F _ngmq ngmq
