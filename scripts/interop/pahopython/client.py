"""One Paho Python connection, told what to do by JSON lines on stdin: {id, do, ...}. It answers {id, error, result} for
each, and {topic, payload, qos, retain, properties} for each message that comes. For paho-mqtt 1.6 and 2.

    client.py URL CA
"""
import json
import queue
import sys
import threading
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 15  # seconds for an answer of the server
PROPERTIES = ("ResponseTopic", "CorrelationData", "ContentType", "MessageExpiryInterval")

url, ca = urlsplit(sys.argv[1]), sys.argv[2]
answers = queue.Queue()  # (packet identifier, result) of SUBACK and UNSUBACK; of CONNACK with None
output = threading.Lock()
client = None


def say(o):
    with output:
        sys.stdout.write(json.dumps(o) + "\n")
        sys.stdout.flush()


def number(code):
    return getattr(code, "value", code)


def camel(name):
    return name[0].lower() + name[1:]


def to_properties(given):
    p = Properties(PacketTypes.PUBLISH)
    for name in PROPERTIES:
        if camel(name) in given:
            value = given[camel(name)]
            setattr(p, name, value.encode() if name == "CorrelationData" else value)
    if "userProperties" in given:
        p.UserProperty = list(given["userProperties"].items())
    return p


def from_properties(p):
    got = {camel(name): getattr(p, name) for name in PROPERTIES if hasattr(p, name)}
    if "correlationData" in got:
        got["correlationData"] = got["correlationData"].decode()
    if hasattr(p, "UserProperty"):
        got["userProperties"] = dict(p.UserProperty)
    return got


def on_connect(_client, _userdata, flags, code, _properties=None):
    present = flags["session present"] if isinstance(flags, dict) else flags.session_present
    answers.put((None, (number(code), bool(present))))


def on_subscribe(_client, _userdata, mid, codes, _properties=None):
    answers.put((mid, number(codes[0])))


def on_unsubscribe(_client, _userdata, mid, *_rest):
    answers.put((mid, None))


def on_message(_client, _userdata, m):
    line = {"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}
    if getattr(m, "properties", None) is not None:
        line["properties"] = from_properties(m.properties)
    say(line)


def answer(mid):
    while True:
        got, result = answers.get(timeout=PATIENCE)
        if got == mid:
            return result


def new_client(o):
    arguments = {
        "client_id": o["clientId"],
        "protocol": o["protocolVersion"],
        "transport": "websockets" if url.scheme in ("ws", "wss") else "tcp",
        "reconnect_on_failure": False,
    }
    if o["protocolVersion"] != mqtt.MQTTv5:
        arguments["clean_session"] = o["clean"]
    if hasattr(mqtt, "CallbackAPIVersion"):
        arguments["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
    c = mqtt.Client(**arguments)
    c.on_connect, c.on_subscribe, c.on_unsubscribe, c.on_message = on_connect, on_subscribe, on_unsubscribe, on_message
    if url.path:
        c.ws_set_options(path=url.path)
    if url.scheme in ("mqtts", "wss"):
        c.tls_set(ca_certs=ca)
    return c


def connect(command):
    global client
    o = command["options"]
    client = new_client(o)
    if "will" in o:
        w = o["will"]
        client.will_set(w["topic"], w["payload"], w["qos"], w["retain"])
    more = {}
    if o["protocolVersion"] == mqtt.MQTTv5:
        more = {"clean_start": o["clean"], "properties": Properties(PacketTypes.CONNECT)}
        if "properties" in o:
            more["properties"].SessionExpiryInterval = o["properties"]["sessionExpiryInterval"]
    client.connect(url.hostname, url.port, o["keepalive"], **more)
    client.loop_start()
    code, present = answer(None)
    if code != 0:
        raise RuntimeError("CONNACK %d" % code)
    return present


def publish(c):
    more = {"properties": to_properties(c["properties"])} if c.get("properties") else {}
    info = client.publish(c["topic"], c["payload"], c["qos"], c["retain"], **more)
    info.wait_for_publish(PATIENCE)
    if not info.is_published():
        raise RuntimeError("not acknowledged")


def subscribe(c):
    return answer(client.subscribe(c["topic"], c["qos"])[1])


def unsubscribe(c):
    return answer(client.unsubscribe(c["topic"])[1])


def disconnect(_command):
    client.disconnect()
    client.loop_stop()


ACTIONS = {f.__name__: f for f in (connect, publish, subscribe, unsubscribe, disconnect)}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        say({"id": asked["id"], "result": ACTIONS[asked["do"]](asked)})
    except Exception as e:  # whatever it is, the test that asked is told
        say({"id": asked["id"], "error": repr(e)})
