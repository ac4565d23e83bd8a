// One MQTT.js connection, told what to do by JSON lines on stdin: {id, do, ...}. It answers {id, error, result} for
// each, and {topic, payload, qos, retain} for each message that comes.
//
//   node client.mjs URL CA
import fs from 'node:fs';
import readline from 'node:readline';
import mqtt from 'mqtt';

const [url, ca] = process.argv.slice(2);
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
let client;

function connect(options) {
  return new Promise((resolve, reject) => {
    client = mqtt.connect(url, { ...options, ca: fs.readFileSync(ca), reconnectPeriod: 0 });
    client.on('message', (topic, payload, p) => say({ topic, payload: payload.toString(), qos: p.qos, retain: p.retain }));
    client.once('connect', (ack) => resolve(ack.sessionPresent));
    client.once('error', reject);
    client.once('close', () => reject(new Error('closed')));
  });
}

const actions = {
  connect: ({ options }) => connect(options),
  publish: ({ topic, payload, qos, retain }) => client.publishAsync(topic, payload, { qos, retain }).then(() => null),
  subscribe: ({ topic, qos }) => client.subscribeAsync(topic, { qos }).then((granted) => granted[0].qos),
  unsubscribe: ({ topic }) => client.unsubscribeAsync(topic).then(() => null),
  disconnect: () => client.endAsync().then(() => null),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  actions[command.do](command).then(
    (result) => say({ id: command.id, result }),
    (error) => say({ id: command.id, error: String(error) }),
  );
}
process.exit(0);
