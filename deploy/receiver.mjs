// A receiver of walpost's webhooks in one file: checks the signature, ignores what it has seen, prints each event.
//   POST /events          what walpost sends
//   GET  /received/<id>   answers once the event with that id is here, or 504 after a minute
import { createHmac, timingSafeEqual } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';

const FIVE_MINUTES = 5 * 60;
const secret = process.env.RECEIVER_SECRET ?? '';
const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
const received = new Set();
const arrivals = new EventEmitter().setMaxListeners(0);

/** Standard Webhooks: HMAC-SHA256 over id, timestamp and body; the header may hold several signatures. */
function isSigned(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = headers;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > FIVE_MINUTES) return false;
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
  return signatures.split(' ').some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ''), 'base64');
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function take(request, response) {
  const body = Buffer.concat(await request.toArray());
  if (!isSigned(request.headers, body)) return response.writeHead(401).end();
  for (const event of JSON.parse(body).events) {
    if (received.has(event.event_id)) continue;
    received.add(event.event_id);
    console.log(
      JSON.stringify({ received: event.event_id, type: event.event_type, organization: event.organization_id }),
    );
    arrivals.emit(event.event_id);
  }
  response.writeHead(204).end();
}

async function waitFor(id, response) {
  const arrived =
    received.has(id) || (await once(arrivals, id, { signal: AbortSignal.timeout(60_000) }).catch(() => null));
  response.writeHead(arrived ? 200 : 504).end();
}

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/events') return void take(request, response);
  const wanted = /^\/received\/([\w-]+)$/.exec(request.url ?? '');
  if (wanted) return void waitFor(wanted[1], response);
  response.writeHead(200).end();
});
server.listen(Number(process.env.PORT ?? 8080), () =>
  console.log(JSON.stringify({ listening: server.address().port })),
);
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));
