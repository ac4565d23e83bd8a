// A QUIC client on quiche with many streams, driven over stdin and stdout.
//
//   node streams.mjs HOST PORT CA-FILE ALPN
//
// Both ways frames: number of the stream (4 bytes, the driver's), kind (1), length or code (4), data.
// To here: b, u open a stream; d data; f FIN; r RESET_STREAM; s STOP_SENDING; c CONNECTION_CLOSE.
// From here: i opened, with the stream id; l not allowed yet; d data; f FIN; R the server has reset it;
// W the server does not read any more; c the server has closed the connection.
import { readFileSync } from 'node:fs';
import { webcrypto } from 'node:crypto';
import Logger, { LogLevel } from '@matrixai/logger';
import { QUICClient, events } from '@matrixai/quic';

const [host, port, ca, alpn] = process.argv.slice(2);

const tell = (number, kind, value, data) => {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(number, 0);
  head.write(kind, 4);
  head.writeUInt32BE(value, 5);
  process.stdout.write(data ? Buffer.concat([head, data]) : head);
};

process.on('uncaughtException', () => {});
const client = await QUICClient.createQUICClient({
  host, port: Number(port), serverName: 'localhost', localHost: '127.0.0.1',
  crypto: { ops: { randomBytes: async (data) => { webcrypto.getRandomValues(new Uint8Array(data)); } } },
  config: { ca: readFileSync(ca, 'utf8'), applicationProtos: [alpn], verifyPeer: true },
  codeToReason: (type, code) => Object.assign(new Error(type), { streamCode: code }),
  reasonToCode: (type, reason) => (typeof reason === 'number' ? reason : 0),
  logger: new Logger('quiche', LogLevel.SILENT),
});
client.connection.addEventListener(events.EventQUICConnectionError.name, (event) => {
  const data = event.detail?.data ?? {};
  tell(0, 'c', Number(data.errorCode ?? 0xffffffff));
});
const end = async (errorCode) => {
  await client.destroy({ isApp: true, errorCode, force: true }).catch(() => {});
  process.exit(0);
};
process.on('SIGTERM', () => end(1));

const streams = new Map();
const open = (number, type) => {
  let stream;
  try {
    stream = client.connection.newStream(type);
  } catch {
    tell(number, 'l', 0);
    return;
  }
  const s = { stream, writer: stream.writable.getWriter(), reader: type === 'bidi' ? stream.readable.getReader() : undefined };
  streams.set(number, s);
  s.writer.closed.catch((e) => { if (e?.streamCode !== undefined) tell(number, 'W', Number(e.streamCode)); });
  tell(number, 'i', Number(stream.streamId));
  if (s.reader) pump(number, s);
};
const pump = async (number, s) => {
  try {
    for (;;) {
      const { done, value } = await s.reader.read();
      if (done) break;
      tell(number, 'd', value.length, value);
    }
    tell(number, 'f', 0);
  } catch (e) {
    if (e?.streamCode !== undefined) tell(number, 'R', Number(e.streamCode));
  }
};
const act = (number, kind, value, data) => {
  const s = streams.get(number);
  const quiet = (p) => { p?.catch?.(() => {}); };
  switch (kind) {
    case 'b': open(number, 'bidi'); break;
    case 'u': open(number, 'uni'); break;
    case 'd': quiet(s.writer.write(new Uint8Array(data))); break;
    case 'f': quiet(s.writer.close()); break;
    case 'r': quiet(s.writer.abort(value)); break;
    case 's': quiet(s.reader?.cancel(value)); break;
    case 'c': end(value); break;
  }
};

let pending = Buffer.alloc(0);
process.stdin.on('data', (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  while (pending.length >= 9) {
    const kind = String.fromCharCode(pending[4]);
    const value = pending.readUInt32BE(5);
    const size = kind === 'd' ? value : 0;
    if (pending.length < 9 + size) break;
    act(pending.readUInt32BE(0), kind, value, pending.subarray(9, 9 + size));
    pending = pending.subarray(9 + size);
  }
});
process.stdin.on('end', () => end(0));
