// One peer in a process of its own: run.mjs <peer> prepare|fill|drain|forward|write <url> …
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';

const [name, mode, url, ...rest] = process.argv.slice(2);
const peer = await import(name === 'walpost' ? './walpost.mjs' : `./${name}.mjs`);
/** Events a second before those that are measured; every contestant can follow. */
const WARM_UP_RATE = 500;
const modes = { prepare, fill, drain, forward, write };
await modes[mode]();

async function prepare() {
  await peer.prepare(url);
  process.exit(0);
}

async function fill() {
  await peer.fill(url, Number(rest[0]), Number(rest[1]));
  process.exit(0);
}

/** From the start of the consumer to the last delivery, to a handler that does nothing. */
async function drain() {
  const events = Number(rest[0]);
  let delivered = 0;
  const begun = performance.now();
  await peer.consume(url, async () => {
    delivered++;
    if (delivered === events) console.log(`drained ${JSON.stringify({ seconds: (performance.now() - begun) / 1000 })}`);
  });
}

/** Posts each event to a webhook over connections that stay open, as walpost does. */
async function forward() {
  const target = new URL(rest[0]);
  const http = new Pool(target.origin, { connections: 8 });
  await peer.consume(url, async (payload) => {
    const { body } = await http.request({
      path: '/',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
    });
    await body.dump();
  });
  console.log('ready');
}

async function steadily(total, rate, begin) {
  const begun = performance.now();
  let next = 0;
  while (next < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * rate) + 1);
    for (; next < due; next++) begin(next);
    const wait = begun + (next / rate) * 1000 - performance.now();
    if (next < total) await delay(Math.max(1, wait));
  }
}

/**
 * Commits events one by one at a steady rate, and notes when each commit came back. Before that come events that are not measured:
 * a consumer that has just begun runs code that is not compiled yet.
 */
async function write() {
  const [rate, seconds, organizations, warmUp] = rest.slice(0, 4).map(Number);
  const file = rest[4];
  const write = await peer.writer(url, organizations);
  const total = Math.max(1, Math.round(rate * seconds));
  const committed = Array.from({ length: total }, () => 0);
  const pending = [];
  for (let n = 0; n < 20; n++) await write(-1 - n); // connections and plans
  await steadily(warmUp, WARM_UP_RATE, (n) => pending.push(write(-21 - n).catch(() => undefined)));
  await Promise.all(pending.splice(0));
  await delay(1000);
  await steadily(total, rate, (n) => {
    const noted = () => void (committed[n] = Number(process.hrtime.bigint() / 1000n));
    pending.push(write(n).then(noted, () => undefined)); // a 0 says that it was not written
  });
  await Promise.all(pending);
  writeFileSync(file, JSON.stringify(committed));
  process.exit(0);
}
