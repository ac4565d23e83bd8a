// A QUIC client on quiche: the first stream of a connection between stdin and stdout.
//
//   node client.mjs HOST PORT CA-FILE ALPN
//
// The end of stdin is FIN; SIGTERM closes the connection with application error code 1.
import { readFileSync } from 'node:fs';
import { webcrypto } from 'node:crypto';
import Logger, { LogLevel } from '@matrixai/logger';
import { QUICClient } from '@matrixai/quic';

const [host, port, ca, alpn] = process.argv.slice(2);
const client = await QUICClient.createQUICClient({
  host, port: Number(port), serverName: 'localhost', localHost: host.includes(':') ? '::1' : '127.0.0.1',
  crypto: { ops: { randomBytes: async (data) => { webcrypto.getRandomValues(new Uint8Array(data)); } } },
  config: { ca: readFileSync(ca, 'utf8'), applicationProtos: [alpn], verifyPeer: true },
  logger: new Logger('quiche', LogLevel.SILENT),
});
const end = async (errorCode) => {
  await client.destroy({ isApp: true, errorCode, force: true }).catch(() => {});
  process.exit(0);
};
process.on('SIGTERM', () => end(1));

const stream = client.connection.newStream();
const writer = stream.writable.getWriter();
process.stdin.on('data', (data) => { writer.write(new Uint8Array(data)).catch(() => {}); });
process.stdin.on('end', () => { writer.close().catch(() => {}); });
try {
  for await (const data of stream.readable) process.stdout.write(data);
} catch { /* the server closed the connection */ }
await end(0);
