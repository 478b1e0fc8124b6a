// One peer in a process of its own: run.mjs <peer> prepare|fill|drain|forward|write <url> …
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';

const [name, mode, url, ...rest] = process.argv.slice(2);
const peer = await import(name === 'walpost' ? './walpost.mjs' : `./${name}.mjs`);
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

/** Commits events one by one at a steady rate, and notes when each commit came back. */
async function write() {
  const [rate, seconds, organizations, file] = [Number(rest[0]), Number(rest[1]), Number(rest[2]), rest[3]];
  const write = await peer.writer(url, organizations);
  const total = Math.max(1, Math.round(rate * seconds));
  const committed = Array.from({ length: total }, () => 0);
  const pending = [];
  for (let n = 0; n < 20; n++) await write(-1 - n); // connections and plans
  await delay(500);
  const begun = performance.now();
  let next = 0;
  while (next < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * rate) + 1);
    for (; next < due; next++) {
      const n = next;
      const noted = () => void (committed[n] = Number(process.hrtime.bigint() / 1000n));
      pending.push(write(n).then(noted, () => undefined)); // a 0 says that it was not written
    }
    const wait = begun + (next / rate) * 1000 - performance.now();
    if (next < total) await delay(Math.max(1, wait));
  }
  await Promise.all(pending);
  writeFileSync(file, JSON.stringify(committed));
  process.exit(0);
}
